#include "planes.hpp"

#include <algorithm>
#include <cmath>

namespace dvsr {
namespace {

float to_level(std::uint8_t sample) {
    return static_cast<float>(sample) * static_cast<float>(2.0 / 255.0) - 1.0F;
}

std::uint8_t to_sample(float level) {
    const float grey_level = std::nearbyint((level + 1.0F) * 127.5F);
    // Written so that a NaN becomes 0 instead of undefined behaviour.
    return grey_level > 0.0F ? static_cast<std::uint8_t>(std::min(grey_level, 255.0F)) : 0;
}

}  // namespace

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

std::int64_t reflect(std::int64_t at, std::int64_t size) {
    if (size == 1) {
        return 0;
    }
    const std::int64_t within = at % (2 * (size - 1));
    return within < size ? within : 2 * (size - 1) - within;
}

Planes zeros_like(const Planes& x) { return Planes(x.height_px, x.width_px, x.count); }

Planes repeated(const Planes& x, std::int64_t times) {
    Planes batch(x.height_px, x.width_px, times);
    for (std::int64_t index = 0; index < times; ++index) {
        std::copy(x.values.begin(), x.values.end(), batch.picture(index));
    }
    return batch;
}

Planes to_model(const ImageView& image, std::int64_t multiple_px) {
    Planes y(round_up(image.height_px, multiple_px), round_up(image.width_px, multiple_px));
    std::vector<std::int64_t> columns(static_cast<std::size_t>(y.width_px));
    for (std::size_t at = 0; at < columns.size(); ++at) {
        columns[at] = 3 * reflect(static_cast<std::int64_t>(at), image.width_px);
    }
    float* target = y.values.data();
    for (std::int64_t channel = 0; channel < Planes::kChannels; ++channel) {
        for (std::int64_t row = 0; row < y.height_px; ++row) {
            const std::uint8_t* source =
                image.data + reflect(row, image.height_px) * image.row_bytes + channel;
            for (const std::int64_t column : columns) {
                *target++ = to_level(source[column]);
            }
        }
    }
    return y;
}

void from_model(const Planes& x, const MutableImageView& image) {
    for (std::int64_t channel = 0; channel < Planes::kChannels; ++channel) {
        for (std::int64_t row = 0; row < image.height_px; ++row) {
            const float* source = x.values.data() + (channel * x.height_px + row) * x.width_px;
            std::uint8_t* target = image.data + row * image.row_bytes + channel;
            for (std::int64_t column = 0; column < image.width_px; ++column) {
                target[3 * column] = to_sample(source[column]);
            }
        }
    }
}

void Moments::add(const float* values) {
    if (++count_ == 1) {
        std::copy_n(values, mean_.size(), mean_.begin());
        return;
    }
    const auto count = static_cast<float>(count_);
    for (std::size_t at = 0; at < mean_.size(); ++at) {
        const float difference = values[at] - mean_[at];
        mean_[at] = mean_[at] + difference / count;
        spread_[at] += difference * (values[at] - mean_[at]);
    }
}

float Moments::deviation(std::size_t index) const {
    return std::sqrt(spread_[index] / static_cast<float>(count_));
}

}  // namespace dvsr
