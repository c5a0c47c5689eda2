#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dvsr/image.hpp"
#include "tensorrt/layout.hpp"
#include "tensorrt/networks.hpp"
#include "tensorrt/work_cache.hpp"

namespace dvsr {

/// What both kinds of work own, and the scratch memory that they share with all others.
class DeviceWork : public Work {
public:
    std::int64_t held_bytes() const override { return held_bytes_; }
    std::int64_t stamp() const override { return generation_; }
    bool capturable() override;
    /// Give the runners the scratch memory of now, where it has changed.
    void prepare() override;

protected:
    DeviceWork(Device& device, Scratch& scratch) : device_(device), scratch_(scratch) {}

    Runner& open(Networks& networks, const std::string& graph, const BatchShape& shape);
    std::uint8_t* pin(std::int64_t bytes);
    void hold(const std::map<std::string, std::int64_t>& sizes);
    Address at(const std::string& name) const { return buffers_.at(name).get(); }

    Device& device_;

private:
    Scratch& scratch_;
    std::map<std::string, DeviceMemory> buffers_;
    std::vector<PinnedMemory> pinned_;
    std::vector<std::unique_ptr<Runner>> runners_;
    std::int64_t held_bytes_ = 0;
    std::int64_t generation_ = -1;
};

/// Picture up, prediction, the sampler for every sample, average, picture down.
class LoopWork final : public DeviceWork {
public:
    LoopWork(Device& device, Networks& networks, Scratch& scratch, const Layout& layout);

    const Layout& layout() const { return layout_; }

    /// Hand in uint8 RGB of the layout's size and the seed of the next run.
    void fill(const ImageView& picture, std::uint64_t seed);

    void prepare() override;
    void enqueue(const Mark& mark) override;

    /// Throws Error (engine) unless the output is that of the last `fill`, and finite.
    void check() const;

    /// What came down, valid until the next run: uint8 (H, W, 3), and float (H, W, 3).
    const std::uint8_t* picture() const { return output_ + Layout::kHeadBytes; }
    const std::uint8_t* spread() const { return output_ + layout_.spread_offset(); }

private:
    void upload_rows();
    void sample(std::int64_t turn);
    Address noise(std::int64_t turn, std::int64_t step);
    Address noise_at(std::int64_t turn, std::int64_t step) const;
    void make_noise(std::int64_t turn, std::int64_t step);

    Layout layout_;
    std::vector<std::int64_t> noisy_steps_;
    Runner* predictor_ = nullptr;
    Runner* step_ = nullptr;
    std::uint8_t* input_ = nullptr;
    std::uint8_t* output_ = nullptr;
    std::uint64_t ticket_ = 0;
    std::uint64_t seed_ = 0;
    std::optional<std::uint64_t> noise_seed_;
};

/// One network on arrays of the host: what tiles need.
class NetworkWork final : public DeviceWork {
public:
    using Sizes = std::map<std::string, std::int64_t>;

    /// `inputs` and `outputs` are bytes by name.
    NetworkWork(Device& device, Networks& networks, Scratch& scratch, const std::string& graph,
                const BatchShape& shape, Sizes inputs, Sizes outputs);

    /// Hand in an input of the next run.
    void fill(const std::string& name, const float* values);

    void enqueue(const Mark& mark) override;

    /// Copy an output.
    void take(const std::string& name, float* values) const;

private:
    Sizes inputs_;
    Sizes outputs_;
    std::map<std::string, std::uint8_t*> host_;
    Runner* runner_ = nullptr;
};

}  // namespace dvsr
