#pragma once

#include <functional>

#include "engine.hpp"

namespace dvsr {

/// The standard normals of step k: 0 for the start, 1, 2, ... for the rows. Each field is used up
/// before the next is asked for.
using Noise = std::function<const Planes&(std::uint32_t step)>;

/// An engine that keeps the state where it computes from one step to the next.
class SamplingEngine : public Engine {
public:
    /// What `sample_residual` computes.
    virtual Planes sample(const Table& table, const Planes& y, const Noise& noise) = 0;
};

/// The state before the first row of `table`.
Planes start_of(const Table& table, const Noise& noise);

/// The sampled residuals z_0 for the blurred pictures `y`: the table, row by row.
Planes sample_residual(const Table& table, const Planes& y, Engine& engine, const Noise& noise);

}  // namespace dvsr
