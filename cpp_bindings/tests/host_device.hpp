#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine.hpp"
#include "tensorrt/networks.hpp"

/// A device that is this computer's memory. It does what it is told and writes down the calls;
/// what is put on the stream while it captures is done when the graph is launched, and not before.
/// Memory that was given back is never touched. Times are made up.
class HostDevice final : public dvsr::Device {
public:
    using Address = dvsr::Address;
    using Frame = dvsr::Frame;
    using Job = std::function<void()>;

    ~HostDevice() override {
        if (left_behind != nullptr) {
            *left_behind = held();
        }
    }

    std::int64_t* left_behind = nullptr;  ///< gets what is held when the device goes
    std::int64_t capacity = std::int64_t{1} << 30;
    double call_ms = 1.0;   ///< of each piece of work
    double graph_ms = 0.5;  ///< of each launch of a graph
    std::set<std::string> failing;
    std::vector<std::string> calls;
    std::map<dvsr::GraphHandle, std::vector<Job>> graphs;

    std::int64_t held() const;
    std::size_t events() const { return events_.size(); }
    bool capturing() const { return capturing_; }
    /// How often that call was made.
    std::size_t count(const std::string& name) const;

    /// Do `job`, or note it where a graph is being captured.
    void work(const std::string& name, Job job);
    /// Memory at `address`; fails the test unless so much is held there.
    template <typename Item>
    Item* at(Address address, std::int64_t items) {
        return static_cast<Item*>(
            held_at(address, items * static_cast<std::int64_t>(sizeof(Item))));
    }

    void enter() override { note("enter"); }
    std::int64_t free_bytes() override { return capacity - held(); }
    Address allocate(std::int64_t bytes) override;
    void release(Address address) noexcept override;
    std::uint8_t* pin(std::int64_t bytes) override;
    void unpin(std::uint8_t* memory) noexcept override;
    void upload(Address target, const std::uint8_t* source, std::int64_t bytes) override;
    void download(std::uint8_t* target, Address source, std::int64_t bytes) override;
    void clear(Address target, std::int64_t bytes) override;
    void synchronize() override;
    dvsr::EventHandle record() override;
    double elapsed_ms(dvsr::EventHandle first, dvsr::EventHandle second) override;
    void forget(dvsr::EventHandle event) noexcept override { events_.erase(event); }
    void begin_capture() override;
    dvsr::GraphHandle end_capture() override;
    void abandon_capture() noexcept override;
    void launch(dvsr::GraphHandle graph) override;
    void destroy(dvsr::GraphHandle graph) noexcept override;
    void to_model(Address picture, const Frame& frame, Address y, std::int64_t copies,
                  Address verdict) override;
    void to_picture(Address guess, Address residual, const Frame& frame, Address picture,
                    Address ticket, Address verdict) override;
    void scale(Address from, Address to, float factor, std::int64_t count) override;
    void accumulate(Address fields, Address mean, Address squares, std::int64_t seen,
                    std::int64_t samples, std::int64_t count) override;
    void to_spread(Address squares, const Frame& frame, Address spread,
                   std::int64_t samples) override;
    void normals(Address field, Address ticket, std::int64_t first, std::int64_t step,
                 std::int64_t samples, const Frame& frame) override;

private:
    struct FreeDeleter {
        void operator()(void* memory) const noexcept;
    };
    struct Block {
        std::int64_t bytes;
        std::unique_ptr<void, FreeDeleter> memory;
    };

    void note(const std::string& name);
    void* held_at(Address address, std::int64_t bytes);
    void* handle() { return reinterpret_cast<void*>(++handles_); }

    std::map<Address, Block> memory_;
    std::map<std::uint8_t*, std::unique_ptr<std::uint8_t[]>> pinned_;
    std::map<dvsr::EventHandle, double> events_;
    std::vector<Job> captured_;
    bool capturing_ = false;
    double clock_ms_ = 0.0;
    std::uintptr_t handles_ = 0;
};

/// Both networks as engine fake computes them, on `device`, for sizes up to `max_px` a side.
class HostNetworks final : public dvsr::Networks {
public:
    explicit HostNetworks(HostDevice& on) : device(on) {}

    HostDevice& device;
    std::int64_t max_batch = 1;
    std::int64_t max_px = 64;
    bool capturable = true;
    bool poisoned = false;           ///< every result is NaN
    std::set<std::string> refusing;  ///< graphs that the library does not enqueue
    std::int64_t open_runners = 0;
    std::unique_ptr<dvsr::Engine> fake = dvsr::open_fake_engine();

    void check(const std::string& graph, const dvsr::BatchShape& shape) override;
    std::int64_t scratch_bytes(const std::string& graph, const dvsr::BatchShape& shape) override;
    std::unique_ptr<dvsr::Runner> open(const std::string& graph,
                                       const dvsr::BatchShape& shape) override;
};
