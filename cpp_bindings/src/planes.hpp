#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dvsr/image.hpp"

namespace dvsr {

/// Float pictures (count, 3, height_px, width_px) in the model's range: x, y and z.
struct Planes {
    static constexpr std::int64_t kChannels = 3;

    Planes(std::int64_t height, std::int64_t width, std::int64_t pictures = 1)
        : count(pictures),
          height_px(height),
          width_px(width),
          values(static_cast<std::size_t>(pictures * kChannels * height * width)) {}

    float* picture(std::int64_t index) {
        return values.data() + index * kChannels * height_px * width_px;
    }
    const float* picture(std::int64_t index) const {
        return values.data() + index * kChannels * height_px * width_px;
    }

    /// Of the first picture.
    float* at(std::int64_t channel, std::int64_t row, std::int64_t column) {
        return values.data() + (channel * height_px + row) * width_px + column;
    }
    const float* at(std::int64_t channel, std::int64_t row, std::int64_t column) const {
        return values.data() + (channel * height_px + row) * width_px + column;
    }

    std::int64_t count;
    std::int64_t height_px;
    std::int64_t width_px;
    std::vector<float> values;
};

/// `value` or the next multiple of `multiple` above it.
std::int64_t round_up(std::int64_t value, std::int64_t multiple);

/// The pixel that position `at` of a row reflected without end shows; a single pixel repeats.
std::int64_t reflect(std::int64_t at, std::int64_t size);

/// Zeros of the shape of `x`.
Planes zeros_like(const Planes& x);

/// The picture `x` for `times` samples.
Planes repeated(const Planes& x, std::int64_t times);

/// `image` in the model's range [-1, 1], reflected at the bottom and right up to multiples of
/// `multiple_px`.
Planes to_model(const ImageView& image, std::int64_t multiple_px);

/// The top left of `x`, clipped to [-1, 1], as the samples of `image`.
void from_model(const Planes& x, const MutableImageView& image);

/// Mean and population variance of float arrays in one pass (Welford 1962).
class Moments {
public:
    explicit Moments(std::size_t size) : mean_(size), spread_(size) {}

    /// One more array of the size given.
    void add(const float* values);

    const std::vector<float>& mean() const { return mean_; }

    /// Standard deviation of one value.
    float deviation(std::size_t index) const;

private:
    std::int64_t count_ = 0;
    std::vector<float> mean_;
    std::vector<float> spread_;
};

}  // namespace dvsr
