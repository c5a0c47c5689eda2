#pragma once

#include <cstdint>
#include <vector>

namespace dvsr {

/// A picture that someone else owns: 8-bit samples, rows from top to bottom, channels R, G, B
/// side by side. Only pictures of 3 channels can be deblurred; other counts are refused by name.
struct ImageView {
    const std::uint8_t* data = nullptr;
    std::int64_t height_px = 0;
    std::int64_t width_px = 0;
    std::int64_t channels = 3;
    std::int64_t row_bytes = 0;  ///< from one row to the next; 0: rows lie side by side
};

/// A place for a picture, of the layout of `ImageView`.
struct MutableImageView {
    std::uint8_t* data = nullptr;
    std::int64_t height_px = 0;
    std::int64_t width_px = 0;
    std::int64_t channels = 3;
    std::int64_t row_bytes = 0;
};

/// A picture that owns its samples: (height_px, width_px, 3) uint8 RGB, rows side by side.
struct Image {
    std::int64_t height_px = 0;
    std::int64_t width_px = 0;
    std::vector<std::uint8_t> samples;
};

}  // namespace dvsr
