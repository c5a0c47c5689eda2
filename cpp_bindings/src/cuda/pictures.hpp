#pragma once

#include <cstdint>

// What kernels and their callers agree on; no CUDA header, because tests compile it for the host.
namespace dvsr::cuda {

/// What goes up with the pictures of a run. A captured graph reads it anew at every launch.
struct Ticket {
    unsigned long long number;  ///< of the run; comes back in its Verdict
    unsigned long long seed;
};

/// What comes down with the pictures of a run.
struct Verdict {
    unsigned long long ticket;      ///< that of the run, unless the result is an older one's
    unsigned long long not_finite;  ///< 1 where a network gave NaN or infinity
};

/// How the samples of a pixel follow each other.
enum class Order { rgb, bgr };

/// uint8 pictures of three channels, side by side, in device memory.
template <typename Byte>
struct PicturesOf {
    Byte* samples;
    std::int64_t count;
    std::int64_t height_px;
    std::int64_t width_px;
    std::int64_t row_bytes;
    std::int64_t picture_bytes;  ///< from one picture to the next
    Order order;
};

using Pictures = PicturesOf<const unsigned char>;
using MutablePictures = PicturesOf<unsigned char>;

/// The size of float pictures: that of the pictures, rounded up to what the networks take.
struct PaddedSize {
    std::int64_t height_px;
    std::int64_t width_px;
};

}  // namespace dvsr::cuda
