#pragma once

#include <cstdint>
#include <string>

#include "arguments.hpp"

/// All that decides what a picture becomes, spelled out, as `runtime/batch/settings.py` has it:
/// equal recipes, equal pictures. Memory is not in it.
struct Recipe {
    std::string bundle;
    std::string bundle_sha256;  ///< of the manifest, which holds those of all other files
    std::string engine;         ///< as asked for
    std::string preset;
    std::int64_t steps = 0;
    std::int64_t samples = 1;
    std::uint64_t seed = 0;
    bool self_ensemble = false;
    double strength = 1.0;
};

bool operator==(const Recipe& one, const Recipe& other);

/// Spell `arguments` out; throws dvsr::Error (option, bundle) where they cannot be.
Recipe make_recipe(const Arguments& arguments);

/// The fields in which two recipes differ, for people: `steps 10, now 4; seed 0, now 1`.
std::string differences(const Recipe& before, const Recipe& now);
