#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bundle.hpp"
#include "dvsr/image.hpp"
#include "dvsr/session.hpp"
#include "engine.hpp"
#include "noise_fields.hpp"

namespace dvsr {

/// What one call computes, decided from options and bundle before any work.
struct Plan {
    const Table& table;
    std::int64_t samples;
    std::uint64_t seed;
    bool turns;                   ///< the picture is turned another way for each sample
    double strength = 1.0;        ///< what is changed is multiplied by it
    std::int64_t held_bytes = 0;  ///< of the host's memory, by the caller until it is answered
};

/// What a session holds and no call changes.
struct Opened {
    Bundle bundle;
    std::optional<std::int64_t> memory_mib;
    std::unique_ptr<Engine> engine;
    std::unique_ptr<NoiseFields> fields;
    std::string engine_name;
};

/// Write what `plan` makes of `blurred`, uint8 RGB with its row length filled in, into `sharp` of
/// the same size, which may be the same picture, and unless `spread` is null the samples' deviation
/// in grey levels. Returns the times. Throws Error (option, engine).
Timings answer(const Plan& plan, const ImageView& blurred, const MutableImageView& sharp,
               float* spread, const Opened& opened);

}  // namespace dvsr
