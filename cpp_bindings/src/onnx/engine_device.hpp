#pragma once

#include <string>
#include <utility>

#include "loop.hpp"
#include "onnx/graphs.hpp"

namespace dvsr::onnx {

/// Both graphs with state and residual on `device` ("Cuda" or "Cpu") from step to step: what goes
/// there for each step is the noise, where there is some, and seven numbers. The first provider of
/// `options` must run on that device, which has `device_bytes` where it is not the host.
class DeviceEngine final : public SamplingEngine {
public:
    DeviceEngine(const Bundle& bundle, std::string name, const char* device,
                 std::optional<std::int64_t> device_bytes, const Ort::SessionOptions& options)
        : name_(std::move(name)),
          device_(device),
          device_bytes_(device_bytes),
          graphs_(open_graphs(bundle, options)) {}

    std::string name() const override { return name_; }
    std::optional<std::int64_t> device_bytes() const override { return device_bytes_; }

    void predict(const Planes& y, Planes& guess) override;
    void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
              const FloatRow& row, Planes& z_next, Planes& residual) override;
    Planes sample(const Table& table, const Planes& y, const Noise& noise) override;

private:
    std::string name_;
    const char* device_;
    std::optional<std::int64_t> device_bytes_;
    Graphs graphs_;
};

}  // namespace dvsr::onnx
