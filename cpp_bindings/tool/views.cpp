#include "views.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace {

constexpr std::array<double, 9> kScales = {0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 127.5};
constexpr double kShownFraction = 0.99;
constexpr double kGapFraction = 1.0 / 200.0;

/// The root of the mean variance of the three channels of each pixel.
cv::Mat levels_of(const cv::Mat& spread) {
    cv::Mat level(spread.size(), CV_32F);
    for (int row = 0; row < spread.rows; ++row) {
        const float* from = spread.ptr<float>(row);
        float* to = level.ptr<float>(row);
        for (int column = 0; column < spread.cols; ++column, from += 3) {
            to[column] =
                std::sqrt((from[0] * from[0] + from[1] * from[1] + from[2] * from[2]) / 3.0F);
        }
    }
    return level;
}

/// The value that `share` of all do not exceed, between the two that are nearest.
double quantile(const cv::Mat& level, double share) {
    std::vector<float> values(level.begin<float>(), level.end<float>());
    const double rank = share * static_cast<double>(values.size() - 1);
    const auto below = values.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(values.begin(), below, values.end());
    const double low = *below;
    const double high =
        below + 1 == values.end() ? low : *std::min_element(below + 1, values.end());
    return low + (rank - std::floor(rank)) * (high - low);
}

}  // namespace

cv::Mat side_by_side(const cv::Mat& before, const cv::Mat& after) {
    const int width = std::max(2, static_cast<int>(std::nearbyint(before.cols * kGapFraction)));
    const cv::Mat gap(before.rows, width, CV_8UC3, cv::Scalar::all(255));
    cv::Mat both;
    cv::hconcat(std::vector<cv::Mat>{before, gap, after}, both);
    return both;
}

HeatMap heat_map(const cv::Mat& spread) {
    const cv::Mat level = levels_of(spread);
    const double high = quantile(level, kShownFraction);
    const auto* fitting =
        std::find_if(kScales.begin(), kScales.end(), [&](double scale) { return high <= scale; });
    const double scale = fitting == kScales.end() ? kScales.back() : *fitting;
    cv::Mat shade, colours, rgb;
    level.convertTo(shade, CV_8U, 255.0 / scale);
    cv::applyColorMap(shade, colours, cv::COLORMAP_INFERNO);
    cv::cvtColor(colours, rgb, cv::COLOR_BGR2RGB);
    return {rgb, scale};
}
