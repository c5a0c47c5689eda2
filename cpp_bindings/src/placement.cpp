#include "placement.hpp"

#include <algorithm>

namespace dvsr {
namespace {

/// What one call may take, `held_bytes` included, of the memory stated or of what is free.
std::int64_t call_budget_bytes(const Engine& engine, const std::optional<std::int64_t>& stated_mib,
                               std::int64_t held_bytes) {
    if (!stated_mib) {
        // What is held is not among what is free.
        return available_bytes(engine.device_bytes()) + held_bytes;
    }
    const std::int64_t budget = *stated_mib << 20;
    return budget - kept_bytes(budget);
}

}  // namespace

Portion portion_of(Engine& engine, const Manifest& manifest, const Table& table,
                   std::int64_t samples, const Planes& y, const Memory& memory) {
    const std::int64_t multiple_px = manifest.size_multiple_px;
    if (auto* whole = dynamic_cast<LoopEngine*>(&engine)) {
        const auto fits = [&](std::int64_t height_px, std::int64_t width_px) {
            return whole->fits({{nullptr, height_px, width_px}, &table});
        };
        return {1, tile_side_px(fits, y.height_px, y.width_px, multiple_px)};
    }
    const std::optional<std::int64_t> bytes_per_px = manifest.tiling.working_bytes_per_px;
    if (!bytes_per_px) {
        return {};
    }
    const std::int64_t held_bytes = engine.device_bytes() ? 0 : memory.held_bytes;
    return portion_that_fits(call_budget_bytes(engine, memory.stated_mib, held_bytes), samples,
                             y.height_px, y.width_px, *bytes_per_px, multiple_px, held_bytes);
}

std::unique_ptr<Engine> tiled_to_fit(Engine& engine, const Manifest& manifest,
                                     const Portion& portion, const Planes& y) {
    if (!portion.tile_px) {
        return nullptr;
    }
    const std::int64_t side = *portion.tile_px;
    // As runtime/tiles.py: edges then have no weight where a tile is large enough.
    const std::int64_t overlap = std::min(4 * manifest.tiling.receptive_radius_px, side / 4);
    return make_tiled_engine(
        engine, plan_tiles(y.height_px, y.width_px, {side, overlap, manifest.size_multiple_px}));
}

}  // namespace dvsr
