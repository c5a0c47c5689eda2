#include "arguments.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace {

/// A command line that nothing can be made of.
class UsageError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Reading { whole, out_of_range, none };

/// `text` as a number, with a sign perhaps: CLI11 itself would wrap a negative integer around.
template <typename Number>
Reading read_number(const std::string& text, Number& number) {
    const bool plus = text.compare(0, 1, "+") == 0;
    const char* begin = text.data() + (plus && text.compare(0, 2, "+-") != 0 ? 1 : 0);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, number);
    if (error == std::errc::result_out_of_range && stop == end) {
        return Reading::out_of_range;
    }
    return error == std::errc() && stop == end ? Reading::whole : Reading::none;
}

/// `text` as Python's repr() shows it.
std::string quoted(const std::string& text) {
    const bool doubles =
        text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
    const char quote = doubles ? '"' : '\'';
    std::string shown(1, quote);
    for (const char letter : text) {
        const auto byte = static_cast<unsigned char>(letter);
        std::array<char, 5> code{letter};
        if (letter == quote || letter == '\\') {
            code = {'\\', letter};
        } else if (letter == '\n' || letter == '\r' || letter == '\t') {
            code = {'\\', letter == '\n' ? 'n' : letter == '\r' ? 'r' : 't'};
        } else if (byte < 0x20 || byte == 0x7F) {
            std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned>(byte));
        }
        shown += code.data();
    }
    return shown + quote;
}

[[noreturn]] void refuse_integer(const std::string& option, const std::string& text) {
    throw UsageError("argument " + option + ": invalid int value: " + quoted(text));
}

std::int64_t parse_integer(const std::string& option, const std::string& text) {
    std::int64_t number = 0;
    if (read_number(text, number) != Reading::whole) {
        refuse_integer(option, text);
    }
    return number;
}

double parse_real(const std::string& option, const std::string& text) {
    double number = 0.0;
    if (read_number(text, number) != Reading::whole) {
        throw UsageError("argument " + option + ": invalid float value: " + quoted(text));
    }
    return number;
}

std::uint64_t parse_seed(const std::string& text) {
    std::uint64_t seed = 0;
    std::int64_t negative = 0;
    if (read_number(text, seed) == Reading::whole) {
        return seed;
    }
    if (read_number(text, negative) == Reading::none) {
        refuse_integer("--seed", text);
    }
    throw dvsr::Error(dvsr::ErrorKind::option,
                      "got seed " + text + "; wanted is an integer from 0 to 2**64 - 1");
}

/// An option that takes an integer, the last one given.
template <typename Number>
void add_integer(CLI::App& app, const std::string& name, Number& number, const char* help) {
    const auto parse = [name, &number](const std::string& text) {
        number = parse_integer(name, text);
    };
    app.add_option_function<std::string>(name, parse, help)->take_last()->type_name("INT");
}

void add_options(CLI::App& app, Arguments& arguments) {
    dvsr::Options& options = arguments.options;
    app.add_option("IN", arguments.pictures, "pictures, folders of pictures, or patterns");
    app.add_option("-o,--output", arguments.output, "folder, or the file of one picture")
        ->take_last();
    add_integer(app, "--steps", options.steps,
                "diffusion steps, of a table of the bundle; 0: predictor alone");
    add_integer(app, "--samples", options.samples, "how many sampled pictures are averaged");
    const auto turns = [&](std::int64_t count) { options.self_ensemble = count > 0; };
    app.add_flag("--self-ensemble,!--no-self-ensemble", turns,
                 "draw each sample on the picture turned another way (default: the preset's)")
        ->take_last();
    const auto take_strength = [&](const std::string& text) {
        options.strength = parse_real("--strength", text);
    };
    app.add_option_function<std::string>(
           "--strength", take_strength,
           "multiply what is changed in the picture by this, up to 2 (default: the preset's)")
        ->take_last()
        ->type_name("FACTOR");
    const auto take_seed = [&](const std::string& text) { options.seed = parse_seed(text); };
    app.add_option_function<std::string>("--seed", take_seed,
                                         "same seed, same picture (default: 0)")
        ->take_last()
        ->type_name("INT");
    app.add_option("--preset", options.preset, "a sampling preset of the bundle")->take_last();
    app.add_option("--bundle", arguments.bundle,
                   "bundle directory, or the name of a shipped bundle")
        ->take_last();
    app.add_option("--engine", arguments.engine, "auto, or an engine's name (default: auto)")
        ->take_last();
    add_integer(app, "--memory", arguments.memory_mib,
                "cut pictures into tiles to stay within this many MiB");
    app.add_flag("--compare", arguments.compare, "write before and after side by side, too");
    app.add_flag("--std", arguments.std, "write a heat map of where the samples differ, too");
    app.add_flag("--overwrite", arguments.overwrite, "do pictures again that are in OUT already");
    app.add_flag("--timings", arguments.timings, "print milliseconds by stage");
    add_integer(app, "--bench", arguments.bench_runs,
                "deblur each picture this often and print the percentiles of the times");
    add_integer(app, "--warm-up", arguments.warm_up, "runs before --bench counts (default: 2)");
    app.set_version_flag("--version", std::string("dvsr-edge ") + dvsr::version());
    app.allow_extras();
}

void check(const Arguments& arguments, const CLI::App& app) {
    const bool benches = app.count("--bench") != 0;
    std::string missing = arguments.pictures.empty() ? "IN" : "";
    if (!benches && app.count("--output") == 0) {
        missing += missing.empty() ? "-o/--output" : ", -o/--output";
    }
    if (!missing.empty()) {
        throw UsageError("the following arguments are required: " + missing);
    }
    std::string unknown;
    for (const std::string& argument : app.remaining()) {
        unknown += " " + argument;
    }
    if (!unknown.empty()) {
        throw UsageError("unrecognized arguments:" + unknown);
    }
    if (benches && (arguments.bench_runs < 1 || arguments.warm_up < 0)) {
        throw UsageError("wanted are at least 1 run for --bench and no negative --warm-up");
    }
}

/// All names of an option, as argparse tells them.
std::string names(const CLI::Option& option) {
    std::string all;
    for (const std::string& name : option.get_snames()) {
        all += (all.empty() ? "-" : "/-") + name;
    }
    for (const std::string& name : option.get_lnames()) {
        all += (all.empty() ? "--" : "/--") + name;
    }
    return all;
}

/// What CLI11 refuses to parse: of the options here, those whose value lacks.
UsageError without_value(const CLI::App& app, const CLI::ArgumentMismatch& error) {
    std::string option = error.what();
    option.resize(option.find(':'));
    return UsageError("argument " + names(*app.get_option(option)) + ": expected one argument");
}

/// Refuse a flag that is given a value. CLI11's `disable_flag_override` lets `--flag=` and
/// `--flag=true` pass.
void check_flags(const CLI::App& app, int argc, const char* const* argv) {
    for (int at = 1; at < argc && std::strcmp(argv[at], "--") != 0; ++at) {
        const std::string argument = argv[at];
        const std::size_t end = argument.find('=');
        const CLI::Option* option = app.get_option_no_throw(argument.substr(0, end));
        if (option == nullptr || option->get_items_expected_max() != 0) {
            continue;
        }
        if (end != std::string::npos) {
            throw UsageError("argument " + names(*option) + ": ignored explicit argument " +
                             quoted(argument.substr(end + 1)));
        }
        if (option == app.get_help_ptr() || option == app.get_version_ptr()) {
            return;  // what comes after it is not looked at
        }
    }
}

void parse(CLI::App& app, int argc, const char* const* argv) {
    check_flags(app, argc, argv);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ArgumentMismatch& error) {
        throw without_value(app, error);
    }
}

}  // namespace

Parsed parse_arguments(int argc, const char* const* argv) {
    CLI::App app("Deblur photographs with a DvSR bundle.", "dvsr-deblur");
    app.footer(
        "Exit code: 0 all pictures are there, 1 some failed, 2 wrong arguments. "
        "Example: dvsr-deblur holiday -o sharp --samples 4");
    Parsed parsed;
    add_options(app, parsed.arguments);
    parsed.done = true;
    parsed.exit_code = 2;
    try {
        parse(app, argc, argv);
        check(parsed.arguments, app);
        parsed.done = false;
    } catch (const UsageError& error) {
        std::fprintf(stderr, "dvsr-deblur: %s; see --help\n", error.what());
    } catch (const CLI::ParseError& answer) {
        parsed.exit_code = app.exit(answer) == 0 ? 0 : 2;
    }
    return parsed;
}
