#include "host_device.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "dvsr/noise.hpp"
#include "planes.hpp"

using dvsr::BatchShape;
using dvsr::Error;
using dvsr::ErrorKind;
using dvsr::Planes;

void HostDevice::FreeDeleter::operator()(void* memory) const noexcept { std::free(memory); }

std::int64_t HostDevice::held() const {
    std::int64_t held = 0;
    for (const auto& block : memory_) {
        held += block.second.bytes;
    }
    return held;
}

std::size_t HostDevice::count(const std::string& name) const {
    return static_cast<std::size_t>(std::count(calls.begin(), calls.end(), name));
}

void HostDevice::note(const std::string& name) {
    calls.push_back(name);
    if (failing.count(name) != 0) {
        throw Error(ErrorKind::engine, name + " failed with cudaErrorUnknown");
    }
}

void HostDevice::work(const std::string& name, Job job) {
    note(name);
    if (capturing_) {
        captured_.push_back(std::move(job));
    } else {
        clock_ms_ += call_ms;
        job();
    }
}

void* HostDevice::held_at(Address address, std::int64_t bytes) {
    const auto after = memory_.upper_bound(address);
    REQUIRE(after != memory_.begin());
    const auto& [start, block] = *std::prev(after);
    REQUIRE(address + static_cast<Address>(bytes) <= start + static_cast<Address>(block.bytes));
    return reinterpret_cast<void*>(address);
}

dvsr::Address HostDevice::allocate(std::int64_t bytes) {
    note("allocate");
    REQUIRE_FALSE(capturing_);
    REQUIRE(bytes % dvsr::kAlignment == 0);
    if (bytes > free_bytes()) {
        throw dvsr::DeviceMemoryError("no memory left; give less with --memory");
    }
    void* memory = std::aligned_alloc(dvsr::kAlignment, static_cast<std::size_t>(bytes));
    // What the device holds at first is anything: here, what would be seen.
    std::memset(memory, 0xFF, static_cast<std::size_t>(bytes));
    const auto address = reinterpret_cast<Address>(memory);
    memory_.emplace(address, Block{bytes, std::unique_ptr<void, FreeDeleter>(memory)});
    return address;
}

void HostDevice::release(Address address) noexcept {
    calls.emplace_back("release");
    memory_.erase(address);
}

std::uint8_t* HostDevice::pin(std::int64_t bytes) {
    auto memory = std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(bytes));
    std::uint8_t* address = memory.get();
    pinned_[address] = std::move(memory);
    return address;
}

void HostDevice::unpin(std::uint8_t* memory) noexcept { pinned_.erase(memory); }

void HostDevice::upload(Address target, const std::uint8_t* source, std::int64_t bytes) {
    work("upload", [=, this_ = this] {
        std::memcpy(this_->at<std::uint8_t>(target, bytes), source,
                    static_cast<std::size_t>(bytes));
    });
}

void HostDevice::download(std::uint8_t* target, Address source, std::int64_t bytes) {
    work("download", [=, this_ = this] {
        std::memcpy(target, this_->at<std::uint8_t>(source, bytes),
                    static_cast<std::size_t>(bytes));
    });
}

void HostDevice::clear(Address target, std::int64_t bytes) {
    work("clear", [=, this_ = this] {
        std::memset(this_->at<std::uint8_t>(target, bytes), 0, static_cast<std::size_t>(bytes));
    });
}

void HostDevice::synchronize() {
    note("synchronize");
    REQUIRE_FALSE(capturing_);
}

dvsr::EventHandle HostDevice::record() {
    void* event = handle();
    events_[event] = clock_ms_;
    return event;
}

double HostDevice::elapsed_ms(dvsr::EventHandle first, dvsr::EventHandle second) {
    return events_.at(second) - events_.at(first);
}

void HostDevice::begin_capture() {
    note("begin_capture");
    capturing_ = true;
}

dvsr::GraphHandle HostDevice::end_capture() {
    capturing_ = false;
    std::vector<Job> jobs = std::move(captured_);
    captured_.clear();
    note("end_capture");
    void* graph = handle();
    graphs[graph] = std::move(jobs);
    return graph;
}

void HostDevice::abandon_capture() noexcept {
    calls.emplace_back("abandon_capture");
    capturing_ = false;
    captured_.clear();
}

void HostDevice::launch(dvsr::GraphHandle graph) {
    note("launch");
    clock_ms_ += graph_ms;
    for (const Job& job : graphs.at(graph)) {
        job();
    }
}

void HostDevice::destroy(dvsr::GraphHandle graph) noexcept {
    calls.emplace_back("destroy");
    graphs.erase(graph);
}

void HostDevice::to_model(Address picture, const Frame& frame, Address y, std::int64_t copies,
                          Address verdict) {
    work("to_model", [=, this_ = this] {
        const std::int64_t row_bytes = 3 * frame.width_px;
        const auto* samples = this_->at<std::uint8_t>(picture, row_bytes * frame.height_px);
        const std::int64_t tall = frame.padded_height_px, wide = frame.padded_width_px;
        // The host pads to one multiple on both sides: ask it for more, and cut.
        const Planes padded = dvsr::to_model(
            {samples, frame.height_px, frame.width_px, 3, row_bytes}, std::max(tall, wide));
        auto* target = this_->at<float>(y, copies * 3 * tall * wide);
        for (std::int64_t line = 0; line < copies * 3 * tall; ++line) {
            target = std::copy_n(padded.at(line / tall % 3, line % tall, 0), wide, target);
        }
        std::fill_n(this_->at<std::uint64_t>(verdict, 2), 2, 0);
    });
}

void HostDevice::to_picture(Address guess, Address residual, const Frame& frame, Address picture,
                            Address ticket, Address verdict) {
    work("to_picture", [=, this_ = this] {
        Planes x(frame.padded_height_px, frame.padded_width_px);
        const auto floats = static_cast<std::int64_t>(x.values.size());
        std::copy_n(this_->at<float>(guess, floats), floats, x.values.data());
        auto* answer = this_->at<std::uint64_t>(verdict, 2);
        answer[0] = this_->at<std::uint64_t>(ticket, 2)[0];
        for (std::int64_t at = 0; at < floats; ++at) {
            float& value = x.values[static_cast<std::size_t>(at)];
            value += residual != 0 ? this_->at<float>(residual, floats)[at] : 0.0F;
            answer[1] |= std::isfinite(value) ? 0U : 1U;
        }
        const std::int64_t row_bytes = 3 * frame.width_px;
        auto* samples = this_->at<std::uint8_t>(picture, row_bytes * frame.height_px);
        dvsr::from_model(x, {samples, frame.height_px, frame.width_px, 3, row_bytes});
    });
}

void HostDevice::scale(Address from, Address to, float factor, std::int64_t count) {
    work("scale", [=, this_ = this] {
        const float* source = this_->at<float>(from, count);
        std::transform(source, source + count, this_->at<float>(to, count),
                       [&](float value) { return factor * value; });
    });
}

void HostDevice::accumulate(Address fields, Address mean, Address squares, std::int64_t seen,
                            std::int64_t samples, std::int64_t count) {
    work("accumulate", [=, this_ = this] {
        const float* values = this_->at<float>(fields, samples * count);
        float* average = this_->at<float>(mean, count);
        float* sum = this_->at<float>(squares, count);
        for (std::int64_t at = 0; at < samples * count; ++at) {
            const std::int64_t pixel = at % count, number = seen + at / count + 1;
            const float before = number == 1 ? 0.0F : average[pixel];
            const float difference = values[at] - before;
            average[pixel] =
                number == 1 ? values[at] : before + difference / static_cast<float>(number);
            sum[pixel] =
                number == 1 ? 0.0F : sum[pixel] + difference * (values[at] - average[pixel]);
        }
    });
}

void HostDevice::to_spread(Address squares, const Frame& frame, Address spread,
                           std::int64_t samples) {
    work("to_spread", [=, this_ = this] {
        const std::int64_t tall = frame.padded_height_px, wide = frame.padded_width_px;
        const float* sums = this_->at<float>(squares, 3 * tall * wide);
        float* target = this_->at<float>(spread, 3 * frame.height_px * frame.width_px);
        for (std::int64_t at = 0; at < 3 * frame.height_px * frame.width_px; ++at) {
            const std::int64_t row = at / 3 / frame.width_px, column = at / 3 % frame.width_px;
            const float sum = sums[(at % 3 * tall + row) * wide + column];
            target[at] = 127.5F * std::sqrt(sum / static_cast<float>(samples));
        }
    });
}

void HostDevice::normals(Address field, Address ticket, std::int64_t first, std::int64_t step,
                         std::int64_t samples, const Frame& frame) {
    work("normals", [=, this_ = this] {
        const std::int64_t tall = frame.padded_height_px, wide = frame.padded_width_px;
        float* target = this_->at<float>(field, samples * 3 * tall * wide);
        const std::uint64_t seed = this_->at<std::uint64_t>(ticket, 2)[1];
        for (std::int64_t sample = 0; sample < samples; ++sample) {
            dvsr::normals(seed, static_cast<std::uint32_t>(first + sample),
                          static_cast<std::uint32_t>(step), tall, wide,
                          target + sample * 3 * tall * wide);
        }
    });
}

namespace {

class HostRunner final : public dvsr::Runner {
public:
    HostRunner(HostNetworks& networks, std::string graph, const BatchShape& shape)
        : networks_(networks), graph_(std::move(graph)), shape_(shape) {
        ++networks_.open_runners;
    }
    ~HostRunner() override { --networks_.open_runners; }

    std::int64_t scratch_bytes() const override { return networks_.scratch_bytes(graph_, shape_); }
    bool capturable() override { return networks_.capturable; }
    void use_scratch(dvsr::Address address, std::int64_t bytes) override {
        CHECK(bytes >= scratch_bytes());
        scratch_ = address;
    }
    void bind(const char* name, dvsr::Address address) override {
        CHECK(address % dvsr::kAlignment == 0);
        bound_[name] = address;
    }
    void enqueue() override {
        if (networks_.refusing.count(graph_) != 0) {
            throw Error(ErrorKind::engine, "the library refused to run the " + graph_);
        }
        networks_.device.work(graph_, [this, bound = bound_, scratch = scratch_] {
            networks_.device.at<std::uint8_t>(scratch, scratch_bytes());
            for (std::int64_t picture = 0; picture < shape_.batch; ++picture) {
                compute(bound, picture);
            }
        });
    }

private:
    using Bound = std::map<std::string, dvsr::Address>;

    float* picture_at(const Bound& bound, const std::string& name, std::int64_t picture) {
        const std::int64_t one = shape_.floats() / shape_.batch;
        return networks_.device.at<float>(bound.at(name), shape_.floats()) + picture * one;
    }

    Planes input(const Bound& bound, const std::string& name, std::int64_t picture) {
        Planes planes(shape_.height_px, shape_.width_px);
        std::copy_n(picture_at(bound, name, picture), planes.values.size(), planes.values.data());
        return planes;
    }

    void output(const Bound& bound, const std::string& name, std::int64_t picture,
                const Planes& planes) {
        std::transform(planes.values.begin(), planes.values.end(), picture_at(bound, name, picture),
                       [&](float value) {
                           return networks_.poisoned ? std::numeric_limits<float>::quiet_NaN()
                                                     : value;
                       });
    }

    void compute(const Bound& bound, std::int64_t picture) {
        const Planes y = input(bound, "y", picture);
        Planes first = y, second = y;
        if (graph_ == "predictor") {
            networks_.fake->predict(y, first);
            output(bound, "guess", picture, first);
            return;
        }
        dvsr::Engine::FloatRow row{};
        std::copy_n(networks_.device.at<float>(bound.at("row"), 7), row.size(), row.begin());
        networks_.fake->step(input(bound, "z", picture), y, input(bound, "noise", picture),
                             input(bound, "previous", picture), row, first, second);
        output(bound, "z_next", picture, first);
        output(bound, "residual", picture, second);
    }

    HostNetworks& networks_;
    std::string graph_;
    BatchShape shape_;
    Bound bound_;
    dvsr::Address scratch_ = 0;
};

}  // namespace

void HostNetworks::check(const std::string&, const BatchShape& shape) {
    if (shape.batch > max_batch || std::max(shape.height_px, shape.width_px) > max_px) {
        throw Error(ErrorKind::engine,
                    shape.text() + " is outside the profile; build it: python -m export.trt");
    }
}

std::int64_t HostNetworks::scratch_bytes(const std::string&, const BatchShape& shape) {
    return 16 * shape.batch * shape.height_px * shape.width_px;
}

std::unique_ptr<dvsr::Runner> HostNetworks::open(const std::string& graph,
                                                 const BatchShape& shape) {
    check(graph, shape);
    return std::make_unique<HostRunner>(*this, graph, shape);
}
