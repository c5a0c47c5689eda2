#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

/// Everything in `path`; throws dvsr::Error (image).
std::vector<std::uint8_t> read_whole(const std::filesystem::path& path);

/// Write `data` beside `path` and rename it there, so that a failure leaves the old file. Throws
/// dvsr::Error (image).
void write_whole(const std::filesystem::path& path, const std::vector<std::uint8_t>& data);
