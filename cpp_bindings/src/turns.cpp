#include "turns.hpp"

#include <algorithm>
#include <cmath>

#include "planes.hpp"

namespace dvsr {
namespace {

/// Where a turn puts the pixels of a picture of `height` x `width`.
class Turn {
public:
    Turn(std::int64_t turn, std::int64_t height, std::int64_t width)
        : transposes_(turn % 2 == 1),
          reverses_rows_(turn / 2 == 1 || turn / 2 == 3),
          reverses_columns_(turn / 2 == 1 || turn / 2 == 2),
          height_(height),
          width_(width) {}

    bool transposes() const { return transposes_; }

    /// The first of the three samples of a pixel in the turned picture.
    std::size_t place(std::int64_t row, std::int64_t column) const {
        const std::int64_t down = reverses_rows_ ? height_ - 1 - row : row;
        const std::int64_t right = reverses_columns_ ? width_ - 1 - column : column;
        return static_cast<std::size_t>(
            3 * (transposes_ ? right * height_ + down : down * width_ + right));
    }

private:
    bool transposes_;
    bool reverses_rows_;
    bool reverses_columns_;
    std::int64_t height_;
    std::int64_t width_;
};

}  // namespace

Raster<std::uint8_t> reflected(const ImageView& image, std::int64_t multiple_px) {
    Raster<std::uint8_t> whole(round_up(image.height_px, multiple_px),
                               round_up(image.width_px, multiple_px));
    auto target = whole.values.begin();
    for (std::int64_t row = 0; row < whole.height_px; ++row) {
        const std::uint8_t* source = image.data + reflect(row, image.height_px) * image.row_bytes;
        for (std::int64_t column = 0; column < whole.width_px; ++column) {
            target = std::copy_n(source + 3 * reflect(column, image.width_px), 3, target);
        }
    }
    return whole;
}

Raster<std::uint8_t> turned(const Raster<std::uint8_t>& picture, std::int64_t turn) {
    const Turn by(turn, picture.height_px, picture.width_px);
    Raster<std::uint8_t> result(by.transposes() ? picture.width_px : picture.height_px,
                                by.transposes() ? picture.height_px : picture.width_px);
    const std::uint8_t* source = picture.values.data();
    for (std::int64_t row = 0; row < picture.height_px; ++row) {
        for (std::int64_t column = 0; column < picture.width_px; ++column, source += 3) {
            std::copy_n(source, 3, result.values.data() + by.place(row, column));
        }
    }
    return result;
}

template <typename Value>
Raster<Value> turned_back(const Raster<Value>& picture, std::int64_t turn) {
    const bool transposes = turn % 2 == 1;
    Raster<Value> result(transposes ? picture.width_px : picture.height_px,
                         transposes ? picture.height_px : picture.width_px);
    const Turn by(turn, result.height_px, result.width_px);
    Value* target = result.values.data();
    for (std::int64_t row = 0; row < result.height_px; ++row) {
        for (std::int64_t column = 0; column < result.width_px; ++column, target += 3) {
            std::copy_n(picture.values.data() + by.place(row, column), 3, target);
        }
    }
    return result;
}

template Raster<std::uint8_t> turned_back(const Raster<std::uint8_t>&, std::int64_t);
template Raster<float> turned_back(const Raster<float>&, std::int64_t);

void TurnedMean::add(const Raster<std::uint8_t>& picture, const Raster<float>& spread,
                     std::int64_t count) {
    const auto weight = static_cast<double>(count);
    count_ += weight;
    for (std::size_t at = 0; at < total_.size(); ++at) {
        total_[at] += static_cast<std::uint32_t>(count) * picture.values[at];
    }
    for (std::size_t at = 0; at < squares_.size(); ++at) {
        const double level = picture.values[at];
        const double deviation = spread.values[at];
        squares_[at] += weight * (deviation * deviation + level * level);
    }
}

double TurnedMean::mean(std::size_t index) const { return total_[index] / count_; }

std::uint8_t TurnedMean::picture(std::size_t index) const {
    return static_cast<std::uint8_t>(std::nearbyint(mean(index)));
}

float TurnedMean::deviation(std::size_t index) const {
    const double variance = squares_[index] / count_ - mean(index) * mean(index);
    return static_cast<float>(std::sqrt(std::max(variance, 0.0)));
}

}  // namespace dvsr
