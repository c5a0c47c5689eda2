#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle.hpp"
#include "dvsr/image.hpp"
#include "dvsr/session.hpp"
#include "planes.hpp"

namespace dvsr {

/// Runs predictor and denoiser step. Sizes are multiples of the bundle's `size_multiple_px`; all
/// pictures of a call have one size, and each argument as many of them. Both calls are safe from
/// several threads.
class Engine {
public:
    using FloatRow = std::array<float, Row::kColumns>;

    virtual ~Engine() = default;

    /// What runs and on what, for people: library, version, device.
    virtual std::string name() const = 0;

    /// The memory of the device that it computes on, in bytes, or none where that is the host.
    virtual std::optional<std::int64_t> device_bytes() const { return std::nullopt; }

    /// The predictor's picture g(y).
    virtual void predict(const Planes& y, Planes& guess) = 0;

    /// One row of a sampler table: the next state and the residual estimate. Outputs are not
    /// inputs.
    virtual void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
                      const FloatRow& row, Planes& z_next, Planes& residual) = 0;
};

/// What a `LoopEngine` is asked for: everything that the picture depends on.
struct LoopRequest {
    ImageView picture;  ///< uint8 RGB of any size, with its row length filled in
    const Table* table = nullptr;
    std::int64_t samples = 1;  ///< averaged; without rows the predictor's picture is the answer
    std::uint64_t seed = 0;
    bool want_spread = false;
};

/// An engine that also runs the whole loop on its device, for instance as one CUDA graph. Its noise
/// is that of `normals`. Safe from several threads.
class LoopEngine : public Engine {
public:
    /// Whether the device has the memory and the networks for `request` as a whole.
    virtual bool fits(const LoopRequest& request) = 0;

    /// Write the sharp picture, uint8 RGB of the request's size, rows side by side, and unless
    /// `spread` is null the samples' deviation in grey levels. A graph does not tell its stages:
    /// their times are 0. Throws Error (engine), and can be called again then.
    virtual Timings run(const LoopRequest& request, std::uint8_t* picture, float* spread) = 0;
};

/// A row as graphs take it.
Engine::FloatRow to_floats(const Row& row);

/// The names of the engines built in.
std::vector<std::string> engine_names();

/// Open engine `name` for `bundle`, which must outlive it; "auto" takes the fastest that nothing
/// keeps from running here. `memory_mib` bounds the memory of a device (none: most of what is
/// free). Throws Error (engine).
std::unique_ptr<Engine> open_engine(const std::string& name, const Bundle& bundle,
                                    const std::optional<std::int64_t>& memory_mib);

std::unique_ptr<Engine> open_fake_engine();
std::unique_ptr<Engine> open_onnx_cpu_engine(const Bundle& bundle);

/// The providers with which ONNX Runtime uses a GPU.
enum class OnnxGpu { cuda, tensorrt };

/// What keeps one from running here, or none.
std::optional<std::string> onnx_gpu_obstacle(OnnxGpu kind);
std::unique_ptr<Engine> open_onnx_gpu_engine(OnnxGpu kind, const Bundle& bundle,
                                             const std::optional<std::int64_t>& memory_mib);

/// Whether the bundle holds plans and this machine a GPU, so that "auto" takes TensorRT.
bool tensorrt_has_plans(const Bundle& bundle);
std::unique_ptr<Engine> open_tensorrt_engine(const Bundle& bundle,
                                             const std::optional<std::int64_t>& memory_mib);

}  // namespace dvsr
