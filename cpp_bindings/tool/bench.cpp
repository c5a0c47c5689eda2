#include "bench.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "photograph.hpp"

namespace {

struct Stage {
    const char* name;
    double dvsr::Timings::*member;
};

constexpr Stage kStages[] = {{"predictor", &dvsr::Timings::predictor_ms},
                             {"noise", &dvsr::Timings::noise_ms},
                             {"steps", &dvsr::Timings::steps_ms},
                             {"total", &dvsr::Timings::total_ms}};

std::vector<dvsr::Timings> measure(const dvsr::Session& session, const cv::Mat& image,
                                   const Arguments& arguments) {
    std::vector<dvsr::Timings> runs;
    cv::Mat sharp(image.size(), CV_8UC3);
    for (std::int64_t run = -arguments.warm_up; run < arguments.bench_runs; ++run) {
        session.deblur({image.data, image.rows, image.cols}, {sharp.data, sharp.rows, sharp.cols},
                       arguments.options);
        if (run >= 0) {
            runs.push_back(session.timings());
        }
    }
    return runs;
}

void print_stage(const Stage& stage, const std::vector<dvsr::Timings>& runs) {
    std::vector<double> values;
    for (const dvsr::Timings& run : runs) {
        values.push_back(run.*stage.member);
    }
    std::printf("%-9s %10.2f %10.2f %10.2f %10.2f\n", stage.name, percentile(values, 0.50),
                percentile(values, 0.90), percentile(values, 0.99), percentile(values, 1.0));
}

}  // namespace

double percentile(std::vector<double> values, double share) {
    std::sort(values.begin(), values.end());
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

void bench(const dvsr::Session& session, const std::vector<std::filesystem::path>& pictures,
           const Arguments& arguments) {
    for (const auto& path : pictures) {
        const cv::Mat image = read_photograph(path).image;
        const std::vector<dvsr::Timings> runs = measure(session, image, arguments);
        std::printf("%s: %dx%d px, %lld warm-up, %zu runs, dvsr-edge %s\n", path.c_str(),
                    image.cols, image.rows, static_cast<long long>(arguments.warm_up), runs.size(),
                    dvsr::version());
        std::printf("%-9s %10s %10s %10s %10s\n", "ms", "p50", "p90", "p99", "max");
        for (const Stage& stage : kStages) {
            print_stage(stage, runs);
        }
    }
}
