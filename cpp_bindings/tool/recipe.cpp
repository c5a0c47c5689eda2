#include "recipe.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "bundle.hpp"
#include "dvsr/error.hpp"
#include "number_text.hpp"
#include "sha256.hpp"
#include "whole_file.hpp"

namespace {

constexpr std::int64_t kMaxSamples = 1024;  // as the session has it
constexpr std::size_t kShownLetters = 12;   // a checksum is told by its first digits

[[noreturn]] void refuse(const std::string& message) {
    throw dvsr::Error(dvsr::ErrorKind::option, message);
}

void check(const Recipe& recipe, bool std) {
    const std::string samples = std::to_string(recipe.samples);
    if (recipe.samples < 1 || recipe.samples > kMaxSamples) {
        refuse("got " + samples + " samples; wanted are 1 to " + std::to_string(kMaxSamples));
    }
    if (std && (recipe.samples == 1 || recipe.steps == 0)) {
        refuse("got --std with " + samples + " sample(s) of " + std::to_string(recipe.steps) +
               " steps, which have no spread; take at least 2 samples and 1 step");
    }
}

/// Names and values of all fields.
std::array<std::pair<const char*, std::string>, 9> fields(const Recipe& recipe) {
    return {{{"bundle", recipe.bundle},
             {"bundle_sha256", recipe.bundle_sha256},
             {"engine", recipe.engine},
             {"preset", recipe.preset},
             {"steps", std::to_string(recipe.steps)},
             {"samples", std::to_string(recipe.samples)},
             {"seed", std::to_string(recipe.seed)},
             {"self_ensemble", recipe.self_ensemble ? "True" : "False"},
             {"strength", dvsr::number_text(recipe.strength)}}};
}

/// The first letters of UTF-8 `text`.
std::string shortened(const std::string& text) {
    std::size_t letters = 0;
    const auto end = std::find_if(text.begin(), text.end(), [&](char byte) {
        const bool begins_letter = (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
        letters += begins_letter ? 1U : 0U;
        return letters > kShownLetters;
    });
    return {text.begin(), end};
}

}  // namespace

bool operator==(const Recipe& one, const Recipe& other) { return fields(one) == fields(other); }

Recipe make_recipe(const Arguments& arguments) {
    const dvsr::Bundle bundle = dvsr::describe_bundle(arguments.bundle);
    const dvsr::Options& options = arguments.options;
    Recipe recipe;
    recipe.preset = bundle.preset_name(options.preset ? &*options.preset : nullptr);
    const dvsr::Preset& preset = bundle.presets.at(recipe.preset);
    recipe.steps = options.steps.value_or(preset.sampler.steps);
    recipe.samples = options.samples.value_or(preset.samples);
    static_cast<void>(bundle.table(recipe.preset, &recipe.steps));
    check(recipe, arguments.std);
    const auto manifest = read_whole(bundle.directory / "manifest.json", "copy the bundle again");
    recipe.bundle = bundle.manifest.name;
    recipe.bundle_sha256 = dvsr::sha256({manifest.begin(), manifest.end()});
    recipe.engine = arguments.engine;
    recipe.seed = options.seed;
    recipe.self_ensemble = options.self_ensemble.value_or(preset.self_ensemble);
    recipe.strength = dvsr::checked_strength(options.strength.value_or(preset.strength));
    return recipe;
}

std::string differences(const Recipe& before, const Recipe& now) {
    const auto old = fields(before);
    const auto fresh = fields(now);
    std::string text;
    for (std::size_t at = 0; at < old.size(); ++at) {
        if (old[at] != fresh[at]) {
            text += (text.empty() ? "" : "; ") + std::string(old[at].first) + " " +
                    shortened(old[at].second) + ", now " + shortened(fresh[at].second);
        }
    }
    return text;
}
