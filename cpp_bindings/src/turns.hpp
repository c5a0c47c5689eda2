#pragma once

#include <cstdint>
#include <vector>

#include "dvsr/image.hpp"

namespace dvsr {

/// Samples (height_px, width_px, 3) in the caller's order, rows side by side.
template <typename Value>
struct Raster {
    Raster(std::int64_t height, std::int64_t width)
        : height_px(height),
          width_px(width),
          values(static_cast<std::size_t>(3 * height * width)) {}

    std::int64_t height_px;
    std::int64_t width_px;
    std::vector<Value> values;
};

/// The ways to turn and mirror a picture for a self-ensemble, as `runtime/turns.py` has them.
constexpr std::int64_t kTurns = 8;

/// `image` reflected at the bottom and right up to multiples of `multiple_px`, as `to_model` does.
Raster<std::uint8_t> reflected(const ImageView& image, std::int64_t multiple_px);

/// `picture` as `turn`, 0 to 7, lets it lie.
Raster<std::uint8_t> turned(const Raster<std::uint8_t>& picture, std::int64_t turn);

/// What `turned` did to a picture, undone.
template <typename Value>
Raster<Value> turned_back(const Raster<Value>& picture, std::int64_t turn);

/// Mean and deviation of what the turns gave.
class TurnedMean {
public:
    /// For pictures of `size` samples; without `want_spread` there is no deviation.
    TurnedMean(std::size_t size, bool want_spread)
        : total_(size), squares_(want_spread ? size : 0) {}

    /// A picture, turned back, that is the mean of `count` samples, and their deviation.
    void add(const Raster<std::uint8_t>& picture, const Raster<float>& spread, std::int64_t count);

    std::uint8_t picture(std::size_t index) const;
    float deviation(std::size_t index) const;

    /// What it takes of the memory.
    std::int64_t held_bytes() const {
        return static_cast<std::int64_t>(total_.size() * sizeof(total_[0]) +
                                         squares_.size() * sizeof(squares_[0]));
    }

private:
    double mean(std::size_t index) const;

    double count_ = 0.0;
    std::vector<std::uint32_t> total_;  // of samples of 8 bits, so exact
    std::vector<double> squares_;
};

}  // namespace dvsr
