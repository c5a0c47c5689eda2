#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "engine.hpp"
#include "tiles.hpp"

namespace dvsr {

/// How much of a call goes through an engine at once, by the rules of `runtime/placement.py`.

/// The memory that a call may take.
struct Memory {
    std::optional<std::int64_t> stated_mib;  ///< none: what is free on the engine's device
    std::int64_t held_bytes = 0;             ///< of the host's memory, by the call already
};

/// What of `samples` of the padded picture `y` goes through `engine` at once. Throws Error (option)
/// where the picture's own arrays exceed the memory, and Error (engine) where the engine takes no
/// tile of it.
Portion portion_of(Engine& engine, const Manifest& manifest, const Table& table,
                   std::int64_t samples, const Planes& y, const Memory& memory);

/// `engine` tile by tile where `portion` of the padded picture `y` has tiles, else null.
std::unique_ptr<Engine> tiled_to_fit(Engine& engine, const Manifest& manifest,
                                     const Portion& portion, const Planes& y);

}  // namespace dvsr
