#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "bench.hpp"
#include "photograph.hpp"
#include "plan.hpp"
#include "views.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int kSomeFailed = 1;

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point began) {
    return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
}

/// Milliseconds by stage.
using Stages = std::vector<std::pair<const char*, double>>;

/// Write the views that `job` wants, before the picture: where it stands, they do too. Returns what
/// is to be said about them.
std::string write_views(const Job& job, const Photograph& made, const cv::Mat& blurred,
                        const cv::Mat& spread) {
    if (!job.comparison.empty()) {
        Photograph pair;
        pair.image = side_by_side(blurred, made.image);
        pair.colour_profile = made.colour_profile;
        write_photograph(job.comparison, pair);
    }
    if (job.std.empty()) {
        return "";
    }
    const HeatMap map = heat_map(spread);
    Photograph colours;
    colours.image = map.colours;
    write_photograph(job.std, colours);
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), ", std 0 to %g grey levels", map.scale);
    return text.data();
}

Stages deblur_file(const dvsr::Session& session, const Job& job, const dvsr::Options& options) {
    const Clock::time_point began = Clock::now();
    Photograph photograph = read_photograph(job.picture);
    if (job.target.has_parent_path()) {
        create_folder(job.target.parent_path());
    }
    check_output(job.target, &photograph);
    if (photograph.profile_lost) {
        std::fprintf(stderr,
                     "dvsr-deblur: %s holds a colour profile, which %s will lack; a build with "
                     "OpenCV 5 keeps it\n",
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

/// `text` on one line.
std::string one_line(const std::string& text) {
    std::string line;
    for (const char letter : text) {
        const bool space = letter == '\n' || letter == '\r' || letter == '\t' || letter == ' ';
        if (!space || (!line.empty() && line.back() != ' ')) {
            line += space ? ' ' : letter;
        }
    }
    return line;
}

/// What became of several pictures.
class Outcomes {
public:
    explicit Outcomes(std::size_t total) : total_(total) {}

    void add(const Stages& stages) {
        if (written_++ == 0) {
            sums_ = stages;
            return;
        }
        for (std::size_t at = 0; at < stages.size(); ++at) {
            sums_[at].second += stages[at].second;
        }
    }

    std::size_t failed() const { return total_ - written_; }

    void print(const fs::path& folder, bool timings) const {
        if (total_ > 1) {
            std::printf("%zu written to %s, 0 there already, %zu failed\n", written_,
                        folder.c_str(), failed());
        }
        if (timings && written_ > 0) {
            std::printf("milliseconds, mean of %zu:", written_);
            for (const auto& [stage, sum] : sums_) {
                std::printf("%s %s %.1f", stage == sums_.front().first ? "" : ",", stage,
                            sum / static_cast<double>(written_));
            }
            std::printf("\n");
        }
    }

private:
    std::size_t total_;
    std::size_t written_ = 0;
    Stages sums_;
};

/// A failure that is the picture's stops no other; what is wrong with an option stops all.
bool is_of_one_picture(const dvsr::Error& error) {
    return error.kind() == dvsr::ErrorKind::image || error.kind() == dvsr::ErrorKind::engine;
}

/// Returns the exit code: 1 where a picture has failed.
int deblur_all(const dvsr::Session& session, const Batch& batch, const Arguments& arguments) {
    Outcomes outcomes(batch.jobs.size());
    for (const Job& job : batch.jobs) {
        try {
            outcomes.add(deblur_file(session, job, arguments.options));
        } catch (const dvsr::Error& error) {
            if (!is_of_one_picture(error)) {
                throw;
            }
            std::fprintf(stderr, "dvsr-deblur: %s: %s\n", job.picture.c_str(),
                         one_line(error.what()).c_str());
        }
    }
    outcomes.print(batch.folder, arguments.timings);
    return outcomes.failed() == 0 ? 0 : kSomeFailed;
}

int run(const Arguments& arguments) {
    const bool writes = arguments.bench_runs == 0;
    const Batch batch = writes ? plan_batch(arguments.pictures, arguments.output,
                                            {arguments.compare, arguments.std})
                               : Batch{};
    const dvsr::Session session(arguments.bundle, arguments.engine, arguments.memory_mib);
    std::printf("engine %s; bundle %s\n", session.engine().c_str(), session.bundle_name().c_str());
    if (writes) {
        return deblur_all(session, batch, arguments);
    }
    bench(session, arguments);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Parsed parsed = parse_arguments(argc, argv);
        if (parsed.done) {
            return parsed.exit_code;
        }
        return run(parsed.arguments);
    } catch (const dvsr::Error& error) {
        std::fprintf(stderr, "dvsr-deblur: %s\n", one_line(error.what()).c_str());
        return 2;
    }
}
