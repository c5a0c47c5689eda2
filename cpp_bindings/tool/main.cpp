#include <chrono>
#include <cstdio>
#include <set>
#include <string>

#include "arguments.hpp"
#include "bench.hpp"
#include "photograph.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int kSomeFailed = 1;

[[noreturn]] void refuse(const std::string& message) {
    throw dvsr::Error(dvsr::ErrorKind::option, message);
}

/// The file each picture goes to, all checked before any work.
std::vector<fs::path> plan_outputs(const std::vector<fs::path>& pictures, const fs::path& output) {
    for (const fs::path& picture : pictures) {
        if (!fs::exists(picture)) {
            refuse("no file or folder " + picture.string() + "; check the name");
        }
    }
    std::vector<fs::path> targets;
    if (fs::is_directory(output)) {
        for (const fs::path& picture : pictures) {
            targets.push_back(output / (picture.stem().string() + ".png"));
        }
    } else if (pictures.size() == 1) {
        targets = {output};
    } else if (output.has_extension()) {
        refuse("the output " + output.string() +
               " is the name of a file, which one picture can become, but not several; give a "
               "folder");
    } else {
        refuse("got " + std::to_string(pictures.size()) + " pictures and the output " +
               output.string() + ", which is no existing folder; create it, or give one picture");
    }
    if (std::set<fs::path>(targets.begin(), targets.end()).size() < targets.size()) {
        refuse("two pictures would both become one file in " + output.string() +
               "; give them different names or deblur them one by one");
    }
    for (const fs::path& target : targets) {
        check_output(target);
    }
    return targets;
}

void deblur_file(const dvsr::Session& session, const fs::path& picture, const fs::path& target,
                 const dvsr::Options& options) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point began = Clock::now();
    Photograph photograph = read_photograph(picture);
    check_output(target, &photograph);
    if (photograph.profile_lost) {
        std::fprintf(stderr,
                     "dvsr-deblur: %s holds a colour profile, which %s will lack; a build with "
                     "OpenCV 5 keeps it\n",
                     picture.c_str(), target.c_str());
    }
    cv::Mat& image = photograph.image;
    session.deblur({image.data, image.rows, image.cols}, {image.data, image.rows, image.cols},
                   options);
    write_photograph(target, photograph);
    std::printf("%s -> %s (%dx%d, %.1f s)\n", picture.c_str(), target.c_str(), image.cols,
                image.rows, std::chrono::duration<double>(Clock::now() - began).count());
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

/// Returns the exit code: 1 where a picture could not be used, which stops no other.
int run(const Arguments& arguments) {
    const bool writes = arguments.bench_runs == 0;
    const std::vector<fs::path> targets =
        writes ? plan_outputs(arguments.pictures, arguments.output) : std::vector<fs::path>{};
    const dvsr::Session session(arguments.bundle, arguments.engine, arguments.memory_mib);
    std::printf("engine %s; bundle %s\n", session.engine().c_str(), session.bundle_name().c_str());
    if (!writes) {
        bench(session, arguments);
    }
    int failed = 0;
    for (std::size_t at = 0; at < targets.size(); ++at) {
        const fs::path& picture = arguments.pictures[at];
        try {
            deblur_file(session, picture, targets[at], arguments.options);
        } catch (const dvsr::Error& error) {
            if (error.kind() != dvsr::ErrorKind::image) {
                throw;
            }
            std::fprintf(stderr, "dvsr-deblur: %s: %s\n", picture.c_str(),
                         one_line(error.what()).c_str());
            failed = kSomeFailed;
        }
    }
    return failed;
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
