#include "arguments.hpp"

#include <CLI/CLI.hpp>
#include <charconv>

namespace {

/// A seed as Python takes it: CLI11 itself would wrap a negative one around.
std::uint64_t parse_seed(const std::string& text) {
    std::uint64_t seed = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, seed);
    if (error != std::errc() || stop != end) {
        throw dvsr::Error(dvsr::ErrorKind::option,
                          "got seed " + text + "; wanted is an integer from 0 to 2**64 - 1");
    }
    return seed;
}

void add_options(CLI::App& app, Arguments& arguments, std::string& seed) {
    app.add_option("IN", arguments.pictures, "pictures, or folders of pictures")->required();
    app.add_option("-o,--output", arguments.output, "folder, or the file of one picture");
    app.add_option("--steps", arguments.options.steps,
                   "diffusion steps of a table of the bundle; 0: predictor alone");
    app.add_option("--samples", arguments.options.samples,
                   "how many sampled pictures are averaged");
    app.add_option("--seed", seed, "same seed, same picture (default: 0)");
    app.add_option("--preset", arguments.options.preset, "a sampling preset of the bundle");
    app.add_option("--bundle", arguments.bundle,
                   "bundle directory, or the name of a shipped bundle");
    app.add_option("--engine", arguments.engine, "auto or an engine's name (default: auto)");
    app.add_option("--memory", arguments.memory_mib,
                   "cut pictures into tiles to stay within this many MiB");
    app.add_flag("--compare", arguments.compare, "write before and after side by side, too");
    app.add_flag("--std", arguments.std, "write a heat map of where the samples differ, too");
    app.add_flag("--timings", arguments.timings, "print milliseconds by stage");
    app.add_option("--bench", arguments.bench_runs,
                   "deblur each picture this often and print the percentiles of the times");
    app.add_option("--warm-up", arguments.warm_up, "runs before --bench counts (default: 2)");
    app.set_version_flag("--version", std::string("dvsr-edge ") + dvsr::version());
}

void check(const Arguments& arguments, const CLI::App& app) {
    if (app.count("--bench") == 0 && arguments.output.empty()) {
        throw CLI::RequiredError("-o,--output");
    }
    if (app.count("--bench") != 0 && (arguments.bench_runs < 1 || arguments.warm_up < 0)) {
        throw CLI::ValidationError("--bench and --warm-up",
                                   "wanted are at least 1 run and no negative warm-up");
    }
}

}  // namespace

Parsed parse_arguments(int argc, const char* const* argv) {
    CLI::App app("Deblur photographs with a DvSR bundle.", "dvsr-deblur");
    app.footer("Example: dvsr-deblur blurred.jpg -o sharp.png --samples 4");
    Parsed parsed;
    std::string seed = "0";
    add_options(app, parsed.arguments, seed);
    try {
        app.parse(argc, argv);
        check(parsed.arguments, app);
    } catch (const CLI::ParseError& answer) {
        parsed.done = true;
        parsed.exit_code = app.exit(answer) == 0 ? 0 : 2;
        return parsed;
    }
    parsed.arguments.options.seed = parse_seed(seed);
    return parsed;
}
