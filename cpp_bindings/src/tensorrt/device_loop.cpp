#include "tensorrt/device_loop.hpp"

#include <algorithm>
#include <cstring>

namespace dvsr {
namespace {

constexpr std::int64_t kMib = 1 << 20;
// What a driver keeps for itself, and what other programs may take meanwhile.
constexpr double kShareOfFreeMemory = 0.9;
// Noise is worth keeping while it leaves room for several sizes of picture.
constexpr double kShareForNoise = 0.5;

double stage_ms(const Stages& stages, const std::string& name) {
    for (const auto& stage : stages) {
        if (stage.first == name) {
            return stage.second;
        }
    }
    return 0.0;
}

std::int64_t padded(std::int64_t side_px, std::int64_t multiple_px) {
    return (side_px + multiple_px - 1) / multiple_px * multiple_px;
}

Layout layout_of(const LoopRequest& request, std::int64_t multiple_px) {
    Layout layout;
    const std::int64_t height_px = request.picture.height_px, width_px = request.picture.width_px;
    layout.frame = {height_px, width_px, padded(height_px, multiple_px),
                    padded(width_px, multiple_px)};
    layout.start = static_cast<float>(request.table->start);
    for (const Row& row : request.table->rows) {
        layout.rows.push_back(to_floats(row));
    }
    // Without steps there is one picture and nothing that could differ.
    layout.samples = layout.rows.empty() ? 1 : request.samples;
    layout.spread = request.want_spread && !layout.rows.empty();
    return layout;
}

}  // namespace

DeviceLoop::DeviceLoop(std::string name, const Manifest& manifest, std::unique_ptr<Device> device,
                       std::unique_ptr<Networks> networks, std::optional<std::int64_t> memory_mib)
    : name_(std::move(name)),
      precision_(manifest.precision),
      multiple_px_(manifest.size_multiple_px),
      memory_mib_(memory_mib),
      device_(std::move(device)),
      networks_(std::move(networks)),
      scratch_(*device_),
      cache_(
          *device_, [this] { return budget_bytes(); }, scratch_) {}

DeviceLoop::~DeviceLoop() {
    try {
        // What the members give back belongs to the device of this thread.
        device_->enter();
        device_->synchronize();
    } catch (const Error&) {
        // The device is lost, and what was on it with it.
    }
}

bool DeviceLoop::fits(const LoopRequest& request) {
    const std::lock_guard<std::mutex> lock(busy_);
    device_->enter();
    Layout layout = layout_of(request, multiple_px_);
    if (cache_.find(key(layout)) != nullptr) {
        return true;
    }
    try {
        layout = batched(layout);
    } catch (const Error&) {
        return false;
    }
    const Needs needed = needs(layout);
    return needed.buffer_bytes + needed.scratch_bytes <= budget_bytes();
}

Timings DeviceLoop::run(const LoopRequest& request, std::uint8_t* picture, float* spread) {
    const std::lock_guard<std::mutex> lock(busy_);
    device_->enter();
    const Layout layout = layout_of(request, multiple_px_);
    const WorkKey key = this->key(layout);
    LoopWork& work = loop_work(key, layout);
    work.fill(request.picture, request.seed);
    const Stages stages = cache_.run(key);
    try {
        work.check();
    } catch (const Error&) {
        cache_.drop(key);
        throw;
    }
    const auto bytes = static_cast<std::size_t>(layout.picture_bytes());
    std::memcpy(picture, work.picture(), bytes);
    if (spread != nullptr && layout.spread) {
        std::memcpy(spread, work.spread(), bytes * sizeof(float));
    } else if (spread != nullptr) {
        std::fill_n(spread, bytes, 0.0F);
    }
    Timings times;
    times.predictor_ms = stage_ms(stages, "predictor");
    times.steps_ms = stage_ms(stages, "steps");
    return times;
}

std::string DeviceLoop::verdicts() const {
    const std::lock_guard<std::mutex> lock(busy_);
    std::string lines;
    for (const WorkKey& key : cache_.keys()) {
        lines += key.kind + " " + std::to_string(key.width_px) + "x" +
                 std::to_string(key.height_px) + ", " + std::to_string(key.samples) + " samples, " +
                 std::to_string(key.steps) + " steps: " + cache_.verdict(key) + "\n";
    }
    return lines;
}

void DeviceLoop::predict(const Planes& y, Planes& guess) {
    run_network("predictor", {{"y", &y}}, nullptr, {{"guess", &guess}});
}

void DeviceLoop::step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
                      const FloatRow& row, Planes& z_next, Planes& residual) {
    run_network("step", {{"z", &z}, {"y", &y}, {"noise", &noise}, {"previous", &previous}}, &row,
                {{"z_next", &z_next}, {"residual", &residual}});
}

/// `layout` with the largest batch of samples that profile and memory allow. Throws Error (engine)
/// where none is in the profile; what is too large for the memory is laid out all the same, one at
/// a time, and refused when it is made.
Layout DeviceLoop::batched(Layout layout) {
    const std::int64_t budget = budget_bytes();
    std::optional<Layout> in_profile;
    for (std::int64_t at_once = layout.samples; at_once >= 1; --at_once) {
        if (layout.samples % at_once != 0) {
            continue;
        }
        layout.at_once = at_once;
        try {
            check(layout);
        } catch (const Error&) {
            if (at_once == 1 && !in_profile) {
                throw;
            }
            continue;
        }
        layout.resident = static_cast<double>(layout.noise_bytes(true)) <=
                          kShareForNoise * static_cast<double>(budget);
        in_profile = layout;
        const Needs needed = needs(layout);
        if (needed.buffer_bytes + needed.scratch_bytes <= budget) {
            break;
        }
    }
    return *in_profile;
}

void DeviceLoop::check(const Layout& layout) {
    networks_->check("predictor", layout.predictor_shape());
    if (!layout.rows.empty()) {
        networks_->check("step", layout.step_shape());
    }
}

Needs DeviceLoop::needs(const Layout& layout) {
    std::int64_t scratch = networks_->scratch_bytes("predictor", layout.predictor_shape());
    if (!layout.rows.empty()) {
        scratch = std::max(scratch, networks_->scratch_bytes("step", layout.step_shape()));
    }
    return {layout.buffer_bytes(), scratch};
}

WorkKey DeviceLoop::key(const Layout& layout) const {
    return {"loop",        layout.frame.height_px, layout.frame.width_px,   layout.samples,
            layout.spread, layout.rows.size(),     layout.table_checksum(), precision_};
}

LoopWork& DeviceLoop::loop_work(const WorkKey& key, const Layout& layout) {
    Work* kept = cache_.find(key);
    if (kept == nullptr) {
        const Layout fitting = batched(layout);
        kept = &cache_.add(key, needs(fitting), [&] {
            return std::make_unique<LoopWork>(*device_, *networks_, scratch_, fitting);
        });
    }
    // A key names its kind, so what is kept under it is of that kind.
    return static_cast<LoopWork&>(*kept);
}

void DeviceLoop::run_network(const std::string& graph,
                             const std::map<std::string, const Planes*>& inputs,
                             const FloatRow* row, const std::map<std::string, Planes*>& outputs) {
    const std::lock_guard<std::mutex> lock(busy_);
    device_->enter();
    const Planes& like = *inputs.begin()->second;
    const BatchShape shape{like.count, like.height_px, like.width_px};
    networks_->check(graph, shape);
    const WorkKey key{graph, shape.height_px, shape.width_px, like.count, false, 0, "", precision_};
    auto* work = static_cast<NetworkWork*>(cache_.find(key));
    if (work == nullptr) {
        const auto bytes = static_cast<std::int64_t>(sizeof(float)) * shape.floats();
        NetworkWork::Sizes given, made;
        for (const auto& input : inputs) {
            given[input.first] = bytes;
        }
        if (row != nullptr) {
            given["row"] = sizeof *row;
        }
        for (const auto& output : outputs) {
            made[output.first] = bytes;
        }
        const Needs needed{static_cast<std::int64_t>(given.size() + made.size()) * aligned(bytes),
                           networks_->scratch_bytes(graph, shape)};
        work = static_cast<NetworkWork*>(&cache_.add(key, needed, [&] {
            return std::make_unique<NetworkWork>(*device_, *networks_, scratch_, graph, shape,
                                                 given, made);
        }));
    }
    for (const auto& [name, values] : inputs) {
        work->fill(name, values->values.data());
    }
    if (row != nullptr) {
        work->fill("row", row->data());
    }
    cache_.run(key);
    for (const auto& [name, values] : outputs) {
        work->take(name, values->values.data());
    }
}

std::int64_t DeviceLoop::budget_bytes() {
    if (memory_mib_) {
        return *memory_mib_ * kMib;
    }
    return static_cast<std::int64_t>(
        kShareOfFreeMemory * static_cast<double>(device_->free_bytes() + cache_.held_bytes()));
}

}  // namespace dvsr
