#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// Everything in `path`. Throws dvsr::Error (image), which ends in `advice` unless that is empty.
std::vector<std::uint8_t> read_whole(const std::filesystem::path& path, const std::string& advice);

/// Write `data` beside `path` and rename it there, so that a failure leaves the old file. Throws
/// dvsr::Error (image).
void write_whole(const std::filesystem::path& path, const std::vector<std::uint8_t>& data);
