#pragma once

#include <filesystem>
#include <opencv2/core.hpp>
#include <string>

#include "metadata.hpp"

/// A decoded picture file and what must go back into the file that is made from it.
struct Photograph {
    cv::Mat image;           ///< uint8 RGB, upright
    cv::Mat alpha;           ///< uint8, or empty
    bool grayscale = false;  ///< the file had one channel
    Metadata metadata;
};

/// Decode `path`, turned upright as its EXIF orientation says. Throws dvsr::Error (image) where
/// the file is missing, no picture, truncated, or not 8 bits a channel.
Photograph read_photograph(const std::filesystem::path& path);

/// Encode to `path` by its suffix; the file appears whole or not at all. Throws
/// dvsr::Error (image).
void write_photograph(const std::filesystem::path& path, const Photograph& photograph);

/// Whether `path` is a PNG with a beginning and an end; what lies between is not read.
bool is_whole_png(const std::filesystem::path& path);

/// Whether the name is that of a picture, by its suffix.
bool is_picture_name(const std::filesystem::path& path);

/// The suffixes of pictures, for messages.
std::string picture_suffixes();

/// Throws dvsr::Error (image) now for an output that could not be written after the work is done.
/// With `photograph`, also for a format that cannot hold its transparency.
void check_output(const std::filesystem::path& path, const Photograph* photograph = nullptr);
