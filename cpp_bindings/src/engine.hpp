#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"
#include "planes.hpp"

namespace dvsr {

/// Runs predictor and denoiser step. Sizes are multiples of the bundle's `size_multiple_px`; all
/// pictures of a call have one size. Both calls are safe from several threads.
class Engine {
public:
    using FloatRow = std::array<float, Row::kColumns>;

    virtual ~Engine() = default;

    /// What runs and on what, for people: library, version, device.
    virtual std::string name() const = 0;

    /// The predictor's picture g(y).
    virtual void predict(const Planes& y, Planes& guess) = 0;

    /// One row of a sampler table: the next state and the residual estimate. Outputs are not
    /// inputs.
    virtual void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
                      const FloatRow& row, Planes& z_next, Planes& residual) = 0;
};

/// The names of the engines built in.
std::vector<std::string> engine_names();

/// Open engine `name` for `bundle`; "auto" takes the first one that runs graphs. Throws
/// Error (engine).
std::unique_ptr<Engine> open_engine(const std::string& name, const Bundle& bundle);

std::unique_ptr<Engine> open_fake_engine();
std::unique_ptr<Engine> open_onnx_cpu_engine(const Bundle& bundle);

}  // namespace dvsr
