#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tensorrt/device.hpp"

namespace dvsr {

/// Pictures (batch, 3, height_px, width_px) as a network takes them.
struct BatchShape {
    std::int64_t batch = 1;
    std::int64_t height_px = 0;
    std::int64_t width_px = 0;

    std::int64_t floats() const { return batch * 3 * height_px * width_px; }
    std::string text() const {
        return "(" + std::to_string(batch) + ", 3, " + std::to_string(height_px) + ", " +
               std::to_string(width_px) + ")";
    }
};

/// One network for pictures of one shape. It owns what the library keeps for it, but neither
/// inputs nor outputs nor scratch memory.
class Runner {
public:
    virtual ~Runner() = default;

    /// The scratch memory that it needs at its shape.
    virtual std::int64_t scratch_bytes() const = 0;
    /// Whether its work may become part of a CUDA graph.
    virtual bool capturable() = 0;
    /// Take this as scratch memory; other runners may use the same, one after another.
    virtual void use_scratch(Address address, std::int64_t bytes) = 0;
    /// Set the device address of an input or output; throws Error (engine).
    virtual void bind(const char* name, Address address) = 0;
    /// Put the network on the stream; throws Error (engine) where the library refuses.
    virtual void enqueue() = 0;
};

/// Both networks of a bundle, "predictor" and "step", at every shape that they were built for.
class Networks {
public:
    virtual ~Networks() = default;

    /// Throws Error (engine) where `graph` cannot take pictures of this shape.
    virtual void check(const std::string& graph, const BatchShape& shape) = 0;
    /// About what `Runner::scratch_bytes` will be, known before a runner is opened.
    virtual std::int64_t scratch_bytes(const std::string& graph, const BatchShape& shape) = 0;
    /// A runner for pictures of this shape; throws Error (engine).
    virtual std::unique_ptr<Runner> open(const std::string& graph, const BatchShape& shape) = 0;
};

}  // namespace dvsr
