#pragma once

#include <functional>

#include "engine.hpp"

namespace dvsr {

/// Fills a picture with the standard normals of step k: 0 for the start, 1, 2, ... for the rows.
using Noise = std::function<void(std::uint32_t step, Planes& field)>;

/// One sampled residual z_0 for the blurred `y`: the table, row by row.
Planes sample_residual(const Table& table, const Planes& y, Engine& engine, const Noise& noise);

}  // namespace dvsr
