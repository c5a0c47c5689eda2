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
