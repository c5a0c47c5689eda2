#include "worker.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <string>

#include "folders.hpp"
#include "formats.hpp"
#include "photograph.hpp"
#include "views.hpp"

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point began) {
    return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
}

/// Write the views that `job` wants, before the picture: where it stands, they do too. Returns what
/// is to be said about them.
std::string write_views(const Job& job, const Photograph& made, const cv::Mat& blurred,
                        const cv::Mat& spread) {
    if (!job.comparison.empty()) {
        Photograph pair;
        pair.image = side_by_side(blurred, made.image);
        pair.metadata.colour_profile = made.metadata.colour_profile;
        write_photograph(job.comparison, pair);
    }
    if (job.std.empty()) {
        return "";
    }
    const HeatMap map = heat_map(spread);
    std::array<char, 64> scale{};
    std::snprintf(scale.data(), scale.size(), "0 to %g grey levels", map.scale);
    Photograph colours;
    colours.image = map.colours;
    colours.metadata =
        describing(std::string("standard deviation of the samples; inferno, ") + scale.data());
    write_photograph(job.std, colours);
    return std::string(", std ") + scale.data();
}

}  // namespace

Stages deblur_file(const dvsr::Session& session, const Job& job, const dvsr::Options& options) {
    const Clock::time_point began = Clock::now();
    Photograph photograph = read_photograph(job.picture);
    if (job.target.has_parent_path()) {
        create_folder(job.target.parent_path());
    }
    check_output(job.target, !photograph.alpha.empty());
    if (photograph.metadata.profile_lost) {
        std::fprintf(stderr,
                     "dvsr-deblur: %s holds a colour profile, which %s will lack; a build with "
                     "Exiv2 keeps it\n",
                     job.picture.c_str(), job.target.c_str());
    }
    const double decode_ms = ms_since(began);
    const cv::Mat blurred = job.comparison.empty() ? cv::Mat() : photograph.image.clone();
    cv::Mat& image = photograph.image;
    cv::Mat spread;
    if (!job.std.empty()) {
        spread.create(image.size(), CV_32FC3);
    }
    session.deblur({image.data, image.rows, image.cols}, {image.data, image.rows, image.cols},
                   options, spread.empty() ? nullptr : spread.ptr<float>());
    const dvsr::Timings times = session.timings();
    const Clock::time_point sharpened = Clock::now();
    const std::string said = write_views(job, photograph, blurred, spread);
    write_photograph(job.target, photograph);
    std::printf("%s -> %s (%dx%d, %.1f s%s)\n", job.picture.c_str(), job.target.c_str(), image.cols,
                image.rows, ms_since(began) / 1000.0, said.c_str());
    return {{"decode", decode_ms},
            {"predictor", times.predictor_ms},
            {"noise", times.noise_ms},
            {"steps", times.steps_ms},
            {"encode", ms_since(sharpened)}};
}
