#pragma once

#include <opencv2/core.hpp>

/// What helps people judge a deblurred picture, by the rules of `runtime/batch/views.py`.

/// Both pictures, uint8 RGB, with a thin white gap between them.
cv::Mat side_by_side(const cv::Mat& before, const cv::Mat& after);

/// A standard deviation as colours, uint8 RGB, black for 0 and pale yellow for `scale` or more.
struct HeatMap {
    cv::Mat colours;
    double scale;  ///< grey levels
};

/// `spread` is float (height, width) of three channels in grey levels.
HeatMap heat_map(const cv::Mat& spread);
