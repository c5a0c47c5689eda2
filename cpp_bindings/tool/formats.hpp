#pragma once

#include <filesystem>
#include <string>

// What is known of picture files without decoding them.

/// Whether the name is that of a picture, by its suffix.
bool is_picture_name(const std::filesystem::path& path);

/// The suffixes of pictures, for messages.
std::string picture_suffixes();

/// The suffix in small letters, with its dot.
std::string lower_suffix(const std::filesystem::path& path);

/// What every PNG begins with.
const std::string& png_signature();

/// Whether `path` is a PNG with a beginning and an end; what lies between is not read.
bool is_whole_png(const std::filesystem::path& path);

/// Throws dvsr::Error (image) now for an output that could not be written after the work is done,
/// with `has_alpha` also for a format that cannot hold transparency.
void check_output(const std::filesystem::path& path, bool has_alpha = false);
