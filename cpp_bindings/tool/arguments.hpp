#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dvsr/session.hpp"

/// The command line of dvsr-deblur; the same as that of `python -m runtime`, and --bench.
struct Arguments {
    std::vector<std::filesystem::path> pictures;
    std::filesystem::path output;  ///< empty only with `bench_runs`
    std::string bundle;            ///< empty: the default one
    std::string engine = "auto";
    std::optional<std::int64_t> memory_mib;
    dvsr::Options options;
    bool compare = false;
    bool std = false;
    bool overwrite = false;
    bool timings = false;
    std::int64_t bench_runs = 0;
    std::int64_t warm_up = 2;
};

/// How parsing ended: go on, or leave with an exit code because all is said.
struct Parsed {
    bool done = false;
    int exit_code = 0;
    Arguments arguments;
};

/// Parse the command line; prints help and usage errors itself, these in the words of Python's
/// argparse. Throws dvsr::Error (option) for a seed out of range.
Parsed parse_arguments(int argc, const char* const* argv);
