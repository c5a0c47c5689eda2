#include "tensorrt/loop_work.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace dvsr {

bool DeviceWork::capturable() {
    return std::all_of(runners_.begin(), runners_.end(),
                       [](const auto& runner) { return runner->capturable(); });
}

void DeviceWork::prepare() {
    if (generation_ == scratch_.generation()) {
        return;
    }
    std::int64_t needed = 0;
    for (const auto& runner : runners_) {
        needed = std::max(needed, runner->scratch_bytes());
    }
    scratch_.reserve(needed);
    for (const auto& runner : runners_) {
        runner->use_scratch(scratch_.address(), scratch_.bytes());
    }
    generation_ = scratch_.generation();
}

Runner& DeviceWork::open(Networks& networks, const std::string& graph, const BatchShape& shape) {
    runners_.push_back(networks.open(graph, shape));
    return *runners_.back();
}

std::uint8_t* DeviceWork::pin(std::int64_t bytes) {
    pinned_.emplace_back(device_, device_.pin(bytes));
    return pinned_.back().get();
}

void DeviceWork::hold(const std::map<std::string, std::int64_t>& sizes) {
    for (const auto& [name, bytes] : sizes) {
        buffers_.emplace(name, DeviceMemory(device_, device_.allocate(aligned(bytes))));
        held_bytes_ += aligned(bytes);
    }
}

LoopWork::LoopWork(Device& device, Networks& networks, Scratch& scratch, const Layout& layout)
    : DeviceWork(device, scratch), layout_(layout), noisy_steps_(layout.noisy_steps()) {
    predictor_ = &open(networks, "predictor", layout_.predictor_shape());
    if (!layout_.rows.empty()) {
        step_ = &open(networks, "step", layout_.step_shape());
    }
    DeviceWork::prepare();
    hold(layout_.buffers());
    input_ = pin(layout_.input_bytes());
    output_ = pin(layout_.output_bytes());
    predictor_->bind("y", at("y"));
    predictor_->bind("guess", at("guess"));
    if (step_ != nullptr) {
        upload_rows();
    }
}

void LoopWork::fill(const ImageView& picture, std::uint64_t seed) {
    ++ticket_;
    seed_ = seed;
    std::memcpy(input_, &ticket_, sizeof ticket_);
    std::memcpy(input_ + sizeof ticket_, &seed_, sizeof seed_);
    const auto row_bytes = static_cast<std::size_t>(3 * picture.width_px);
    std::uint8_t* target = input_ + Layout::kHeadBytes;
    for (std::int64_t row = 0; row < picture.height_px; ++row) {
        std::memcpy(target, picture.data + row * picture.row_bytes, row_bytes);
        target += row_bytes;
    }
}

void LoopWork::prepare() {
    DeviceWork::prepare();
    if (!layout_.resident || noisy_steps_.empty() || noise_seed_ == seed_) {
        return;
    }
    noise_seed_.reset();
    device_.upload(at("input"), input_, Layout::kHeadBytes);
    for (std::int64_t turn = 0; turn < layout_.turns(); ++turn) {
        for (const std::int64_t step : noisy_steps_) {
            make_noise(turn, step);
        }
    }
    noise_seed_ = seed_;
}

void LoopWork::enqueue(const Mark& mark) {
    const Frame& frame = layout_.frame;
    const Address input = at("input"), output = at("output");
    device_.upload(input, input_, layout_.input_bytes());
    device_.to_model(input + Layout::kHeadBytes, frame, at("y"), layout_.at_once, output);
    mark("upload");
    predictor_->enqueue();
    mark("predictor");
    for (std::int64_t turn = 0; step_ != nullptr && turn < layout_.turns(); ++turn) {
        sample(turn);
    }
    if (layout_.spread) {
        device_.to_spread(at("squares"), frame,
                          output + static_cast<Address>(layout_.spread_offset()), layout_.samples);
    }
    mark("steps");
    // Last of all kernels: it passes the ticket on.
    device_.to_picture(at("guess"), step_ != nullptr ? at("mean") : 0, frame,
                       output + Layout::kHeadBytes, input, output);
    device_.download(output_, output, layout_.output_bytes());
    mark("download");
}

void LoopWork::check() const {
    std::uint64_t ticket = 0, not_finite = 0;
    std::memcpy(&ticket, output_, sizeof ticket);
    std::memcpy(&not_finite, output_ + sizeof ticket, sizeof not_finite);
    if (ticket != ticket_) {
        throw Error(ErrorKind::engine, "the GPU answered call " + std::to_string(ticket) +
                                           " where call " + std::to_string(ticket_) +
                                           " was asked for; the stale result was thrown away: "
                                           "call again");
    }
    if (not_finite != 0) {
        throw Error(ErrorKind::engine,
                    "the networks gave NaN or infinite values; the weights are damaged or the "
                    "precision is too narrow: run python -m export.check, or take a float32 "
                    "bundle");
    }
}

/// One sampler run for `at_once` samples, taken into mean and squares.
void LoopWork::sample(std::int64_t turn) {
    const std::int64_t batch = layout_.step_shape().floats();
    Address z = at("z0"), z_next = at("z1");
    Address previous = at("zero"), residual = at("residual0"), spare = at("residual1");
    device_.scale(noise(turn, 0), z, layout_.start, batch);
    for (std::size_t row = 0; row < layout_.rows.size(); ++row) {
        const auto index = static_cast<std::int64_t>(row);
        step_->bind("z", z);
        step_->bind("y", at("y"));
        // A row that adds no noise is given zeros: 0 times anything finite.
        step_->bind("noise", layout_.adds_noise(row) ? noise(turn, index + 1) : at("zero"));
        step_->bind("previous", previous);
        step_->bind("row", at("rows") + static_cast<Address>(index * Layout::kRowBytes));
        step_->bind("z_next", z_next);
        step_->bind("residual", residual);
        step_->enqueue();
        std::swap(z, z_next);
        previous = std::exchange(residual, spare);
        spare = previous;
    }
    device_.accumulate(z, at("mean"), at("squares"), turn * layout_.at_once, layout_.at_once,
                       layout_.floats());
}

/// The address of the noise of `step`, made now where it is not kept.
Address LoopWork::noise(std::int64_t turn, std::int64_t step) {
    if (!layout_.resident) {
        make_noise(turn, step);
    }
    return noise_at(turn, step);
}

Address LoopWork::noise_at(std::int64_t turn, std::int64_t step) const {
    if (!layout_.resident) {
        return at("noise");
    }
    const auto position = std::find(noisy_steps_.begin(), noisy_steps_.end(), step);
    const auto steps = static_cast<std::int64_t>(noisy_steps_.size());
    const std::int64_t field = turn * steps + (position - noisy_steps_.begin());
    return at("noise") + static_cast<Address>(field * layout_.field_bytes());
}

void LoopWork::make_noise(std::int64_t turn, std::int64_t step) {
    device_.normals(noise_at(turn, step), at("input"), turn * layout_.at_once, step,
                    layout_.at_once, layout_.frame);
}

void LoopWork::upload_rows() {
    const std::int64_t bytes = Layout::kRowBytes * static_cast<std::int64_t>(layout_.rows.size());
    std::uint8_t* padded = pin(bytes);
    std::memset(padded, 0, static_cast<std::size_t>(bytes));
    for (std::size_t row = 0; row < layout_.rows.size(); ++row) {
        std::memcpy(padded + static_cast<std::int64_t>(row) * Layout::kRowBytes,
                    layout_.rows[row].data(), sizeof layout_.rows[row]);
    }
    device_.upload(at("rows"), padded, bytes);
    device_.clear(at("zero"), layout_.field_bytes());
}

NetworkWork::NetworkWork(Device& device, Networks& networks, Scratch& scratch,
                         const std::string& graph, const BatchShape& shape, Sizes inputs,
                         Sizes outputs)
    : DeviceWork(device, scratch), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {
    runner_ = &open(networks, graph, shape);
    prepare();
    for (const Sizes* sizes : {&inputs_, &outputs_}) {
        hold(*sizes);
        for (const auto& [name, bytes] : *sizes) {
            host_[name] = pin(bytes);
            runner_->bind(name.c_str(), at(name));
        }
    }
}

void NetworkWork::fill(const std::string& name, const float* values) {
    std::memcpy(host_.at(name), values, static_cast<std::size_t>(inputs_.at(name)));
}

void NetworkWork::enqueue(const Mark& mark) {
    for (const auto& [name, bytes] : inputs_) {
        device_.upload(at(name), host_.at(name), bytes);
    }
    mark("upload");
    runner_->enqueue();
    mark("network");
    for (const auto& [name, bytes] : outputs_) {
        device_.download(host_.at(name), at(name), bytes);
    }
    mark("download");
}

void NetworkWork::take(const std::string& name, float* values) const {
    std::memcpy(values, host_.at(name), static_cast<std::size_t>(outputs_.at(name)));
}

}  // namespace dvsr
