#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "engine.hpp"
#include "tensorrt/loop_work.hpp"

namespace dvsr {

/// Runs requests on `device` with `networks`, one at a time, from any thread.
///
/// `memory_mib` bounds what is kept on the device beside the weights; none takes most of what is
/// free. Pictures are padded to multiples of `multiple_px`.
class DeviceLoop final : public LoopEngine {
public:
    DeviceLoop(std::string name, const Manifest& manifest, std::unique_ptr<Device> device,
               std::unique_ptr<Networks> networks, std::optional<std::int64_t> memory_mib);
    ~DeviceLoop() override;

    std::string name() const override { return name_; }
    void predict(const Planes& y, Planes& guess) override;
    void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
              const FloatRow& row, Planes& z_next, Planes& residual) override;

    bool fits(const LoopRequest& request) override;
    Timings run(const LoopRequest& request, std::uint8_t* picture, float* spread) override;

    /// Why each size that is kept runs as a graph or not, one line each.
    std::string verdicts() const;

private:
    Layout batched(Layout layout);
    void check(const Layout& layout);
    Needs needs(const Layout& layout);
    WorkKey key(const Layout& layout) const;
    LoopWork& loop_work(const WorkKey& key, const Layout& layout);
    void run_network(const std::string& graph, const std::map<std::string, const Planes*>& inputs,
                     const FloatRow* row, const std::map<std::string, Planes*>& outputs);
    std::int64_t budget_bytes();

    std::string name_;
    std::string precision_;
    std::int64_t multiple_px_;
    std::optional<std::int64_t> memory_mib_;
    mutable std::mutex busy_;
    // Each refers to those before it.
    std::unique_ptr<Device> device_;
    std::unique_ptr<Networks> networks_;
    Scratch scratch_;
    WorkCache cache_;
};

}  // namespace dvsr
