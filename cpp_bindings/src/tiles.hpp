#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine.hpp"

namespace dvsr {

/// Pictures larger than memory, by the rules of `runtime/tiles.py`: overlapping tiles that share
/// one state and one field of noise, their outputs averaged after each step.

/// One tile along one axis: where it starts and the weight of each of its rows or columns.
struct Span {
    std::int64_t start_px = 0;
    std::vector<float> weights;

    std::int64_t length_px() const { return static_cast<std::int64_t>(weights.size()); }
};

/// Tiles as the product of spans along height and width.
struct TilePlan {
    std::vector<Span> rows;
    std::vector<Span> columns;
};

/// What decides where a picture is cut.
struct TileRule {
    std::int64_t tile_px;
    std::int64_t overlap_px;
    std::int64_t multiple_px;
};

/// Cover (height_px, width_px) with tiles of at most `tile_px` a side; neighbours share at least
/// `overlap_px`. Throws Error (option) for a tile that the overlap would not let advance.
TilePlan plan_tiles(std::int64_t height_px, std::int64_t width_px, const TileRule& rule);

/// What of a stated memory Python's session may keep between calls; tiles here are cut alike.
std::int64_t kept_bytes(std::int64_t budget_bytes);

/// The largest square tile that fits `budget_bytes`, or none where the whole picture does.
/// `bytes_per_px` is what the engine works with for each pixel, `held_bytes` what the budget holds
/// already. Throws Error (option) where not even the picture's own arrays fit.
std::optional<std::int64_t> tile_side_px(std::int64_t budget_bytes, std::int64_t height_px,
                                         std::int64_t width_px, std::int64_t bytes_per_px,
                                         std::int64_t multiple_px, std::int64_t held_bytes = 0);

/// What goes through an engine at once: samples, and one tile where they are cut.
struct Portion {
    std::int64_t samples = 1;
    std::optional<std::int64_t> tile_px;
};

/// As many of `samples` of one picture at once as the budget, of which `held_bytes` are taken,
/// allows, in tiles where not even one fits. Throws Error (option) where not even the picture's own
/// arrays fit.
Portion portion_that_fits(std::int64_t budget_bytes, std::int64_t samples, std::int64_t height_px,
                          std::int64_t width_px, std::int64_t bytes_per_px,
                          std::int64_t multiple_px, std::int64_t held_bytes = 0);

/// The side of the square tiles that `fits(height_px, width_px)` accepts, or none where it accepts
/// the whole picture: for an engine that bounds its sizes itself. Throws Error (engine) where it
/// accepts not even the smallest.
std::optional<std::int64_t> tile_side_px(
    const std::function<bool(std::int64_t, std::int64_t)>& fits, std::int64_t height_px,
    std::int64_t width_px, std::int64_t multiple_px);

/// Most of the `device_bytes` of a GPU, or without them of the memory that the system can give
/// without swapping; the rest is for the others.
std::int64_t available_bytes(const std::optional<std::int64_t>& device_bytes);

/// An engine that runs `inner`, which it does not own, tile by tile and blends; for one picture at
/// a time.
std::unique_ptr<Engine> make_tiled_engine(Engine& inner, TilePlan plan);

}  // namespace dvsr
