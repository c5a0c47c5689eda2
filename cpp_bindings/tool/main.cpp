#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "journal.hpp"
#include "picture_plugin.hpp"
#include "plan.hpp"
#include "recipe.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int kSomeFailed = 1;
constexpr int kNotBegun = 2;

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

/// What became of the pictures of a batch.
class Outcomes {
public:
    explicit Outcomes(const Remaining& remaining)
        : total_(remaining.jobs.size()), done_(remaining.done) {}

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

    void print(const fs::path& folder) const {
        std::printf("%zu written to %s, %zu there already, %zu failed\n", written_, folder.c_str(),
                    done_, failed());
    }

    void print_timings() const {
        if (written_ == 0) {
            return;
        }
        std::printf("milliseconds, mean of %zu:", written_);
        const char* separator = " ";
        for (const auto& [stage, sum] : sums_) {
            std::printf("%s%s %.1f", separator, stage, sum / static_cast<double>(written_));
            separator = ", ";
        }
        std::printf("\n");
    }

private:
    std::size_t total_;
    std::size_t done_;
    std::size_t written_ = 0;
    Stages sums_;
};

/// Returns the exit code: 1 where a picture has failed. One that does stops no other.
int deblur_all(const PicturePlugin& pictures, const dvsr::Session& session, const Batch& batch,
               const Remaining& remaining, const Arguments& arguments) {
    Outcomes outcomes(remaining);
    for (const Job& job : remaining.jobs) {
        try {
            outcomes.add(pictures.deblur_file(session, job, arguments.options));
        } catch (const dvsr::Error& error) {
            std::fprintf(stderr, "dvsr-deblur: %s: %s\n", job.picture.c_str(),
                         one_line(error.what()).c_str());
        }
    }
    if (batch.jobs.size() > 1 || remaining.done > 0) {
        outcomes.print(batch.folder);
    }
    if (arguments.timings) {
        outcomes.print_timings();
    }
    return outcomes.failed() == 0 ? 0 : kSomeFailed;
}

/// What the session computes with, and why. An engine's name comes first in what it says of itself.
void introduce(const dvsr::Session& session, const std::string& engine) {
    const std::string& full = session.engine();
    const std::string name = full.substr(0, full.find(' '));
    const std::string reason = engine == "auto"
                                   ? "auto took " + name + ", the fastest that can run here"
                                   : engine + " was named";
    std::printf("engine %s: %s; bundle %s\n", full.c_str(), reason.c_str(),
                session.bundle_name().c_str());
}

/// Opened by a thread of its own: nothing else before the first picture takes as long, and what
/// reads pictures loads meanwhile.
std::future<dvsr::Session> open_session(const Arguments& arguments) {
    return std::async(std::launch::async, [&arguments] {
        return dvsr::Session(arguments.bundle, arguments.engine, arguments.memory_mib);
    });
}

int deblur(const Arguments& arguments) {
    std::future<dvsr::Session> opening = open_session(arguments);
    const Recipe recipe = make_recipe(arguments);
    const Batch batch =
        plan_batch(arguments.pictures, arguments.output, {arguments.compare, arguments.std});
    const PicturePlugin& pictures = load_picture_plugin();
    const dvsr::Session session = opening.get();
    introduce(session, arguments.engine);
    const Remaining remaining =
        batch.folder.empty() ? Remaining{batch.jobs}
                             : begin_batch(batch.folder, batch.jobs, recipe, arguments.overwrite);
    return deblur_all(pictures, session, batch, remaining, arguments);
}

int measure(const Arguments& arguments) {
    const std::vector<fs::path> pictures = find_pictures(arguments.pictures);
    const dvsr::Session session(arguments.bundle, arguments.engine, arguments.memory_mib);
    introduce(session, arguments.engine);
    load_picture_plugin().bench(session, pictures, arguments);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    // Before ONNX Runtime begins, whose official builds otherwise tell Microsoft that they have.
    ::setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    // Patterns are matched letter by letter, not byte by byte.
    std::setlocale(LC_CTYPE, "C.UTF-8");
    try {
        const Parsed parsed = parse_arguments(argc, argv);
        if (parsed.done) {
            return parsed.exit_code;
        }
        const Arguments& arguments = parsed.arguments;
        return arguments.bench_runs == 0 ? deblur(arguments) : measure(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dvsr-deblur: %s\n", one_line(error.what()).c_str());
        return kNotBegun;
    }
}
