#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "dvsr/error.hpp"

namespace dvsr {

/// An address in the device's memory; 0: none.
using Address = std::uint64_t;

/// Handles of the device's library, for whoever implements `Device`.
using EventHandle = void*;
using GraphHandle = void*;

/// A picture's size, and that size rounded up to what the networks take.
struct Frame {
    std::int64_t height_px = 0;
    std::int64_t width_px = 0;
    std::int64_t padded_height_px = 0;
    std::int64_t padded_width_px = 0;
};

/// The GPU has no memory left for what was asked; what was there before is still there.
class DeviceMemoryError : public Error {
public:
    explicit DeviceMemoryError(const std::string& message) : Error(ErrorKind::engine, message) {}
};

/// What the loop needs of CUDA, so that it and its graphs can be run and recorded without a GPU.
/// All work goes to one stream. Every call but those that give something back throws Error
/// (engine) naming the call that failed and what to do.
class Device {
public:
    virtual ~Device() = default;

    /// Make the device current for the calling thread; to be called first in each.
    virtual void enter() = 0;
    /// Device memory that nobody holds.
    virtual std::int64_t free_bytes() = 0;
    /// Device memory, aligned to 256 bytes; throws DeviceMemoryError.
    virtual Address allocate(std::int64_t bytes) = 0;
    virtual void release(Address address) noexcept = 0;
    /// Page-locked host memory.
    virtual std::uint8_t* pin(std::int64_t bytes) = 0;
    virtual void unpin(std::uint8_t* memory) noexcept = 0;

    /// Copies from and to page-locked memory.
    virtual void upload(Address target, const std::uint8_t* source, std::int64_t bytes) = 0;
    virtual void download(std::uint8_t* target, Address source, std::int64_t bytes) = 0;
    /// Fill with zeros.
    virtual void clear(Address target, std::int64_t bytes) = 0;
    /// Wait until the stream has done everything.
    virtual void synchronize() = 0;

    /// Note this moment on the stream.
    virtual EventHandle record() = 0;
    /// Milliseconds between two events that have passed.
    virtual double elapsed_ms(EventHandle first, EventHandle second) = 0;
    virtual void forget(EventHandle event) noexcept = 0;

    /// From here on note the calling thread's work on the stream instead of doing it.
    virtual void begin_capture() = 0;
    /// A graph, ready to launch, of what was noted.
    virtual GraphHandle end_capture() = 0;
    /// End a capture that went wrong; the stream is usable again.
    virtual void abandon_capture() noexcept = 0;
    virtual void launch(GraphHandle graph) = 0;
    /// Give a graph back; its launches have passed.
    virtual void destroy(GraphHandle graph) noexcept = 0;

    // The kernels between the networks. A ticket is two 64-bit numbers, the call's and its seed; a
    // verdict two as well, the ticket's first one again and 1 where a value was not finite.

    /// A uint8 picture, reflected up to the padded size, to float (copies, 3, H, W) in the model's
    /// range; clears `verdict`.
    virtual void to_model(Address picture, const Frame& frame, Address y, std::int64_t copies,
                          Address verdict) = 0;
    /// The top left of `guess` plus `residual` (0: none) as a uint8 picture; passes the ticket on.
    virtual void to_picture(Address guess, Address residual, const Frame& frame, Address picture,
                            Address ticket, Address verdict) = 0;
    /// `count` floats times `factor`.
    virtual void scale(Address from, Address to, float factor, std::int64_t count) = 0;
    /// Take `samples` fields of `count` floats into a running mean and sum of squares that has
    /// seen `seen` before (Welford 1962).
    virtual void accumulate(Address fields, Address mean, Address squares, std::int64_t seen,
                            std::int64_t samples, std::int64_t count) = 0;
    /// Standard deviation of the picture's pixels in grey levels, float (H, W, 3).
    virtual void to_spread(Address squares, const Frame& frame, Address spread,
                           std::int64_t samples) = 0;
    /// The noise of `step` for `samples` from `first` on, float (samples, 3, H, W) of the padded
    /// size; the seed is the ticket's, so that a graph serves every seed.
    virtual void normals(Address field, Address ticket, std::int64_t first, std::int64_t step,
                         std::int64_t samples, const Frame& frame) = 0;
};

/// What a device handed out; it gets it back when the owner goes.
template <typename Handle, void (Device::*give_back)(Handle) noexcept>
class Owned {
public:
    Owned() = default;
    Owned(Device& device, Handle handle) : device_(&device), handle_(handle) {}
    Owned(Owned&& other) noexcept
        : device_(std::exchange(other.device_, nullptr)), handle_(other.handle_) {}
    Owned& operator=(Owned&& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Owned() {
        if (device_ != nullptr) {
            (device_->*give_back)(handle_);
        }
    }

    void reset() { *this = Owned(); }
    explicit operator bool() const { return device_ != nullptr; }
    Handle get() const { return handle_; }

private:
    Device* device_ = nullptr;
    Handle handle_{};
};

using DeviceMemory = Owned<Address, &Device::release>;
using PinnedMemory = Owned<std::uint8_t*, &Device::unpin>;
using Event = Owned<EventHandle, &Device::forget>;
using Graph = Owned<GraphHandle, &Device::destroy>;

constexpr std::int64_t kAlignment = 256;  // what TensorRT asks of every address

/// `bytes` rounded up so that what follows is aligned.
constexpr std::int64_t aligned(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// One block of scratch memory for networks that run one after another on the stream.
class Scratch {
public:
    explicit Scratch(Device& device) : device_(device) {}

    /// Have at least `bytes`; throws DeviceMemoryError, and there are none then.
    void reserve(std::int64_t bytes) {
        bytes = aligned(bytes);
        if (bytes > bytes_) {
            device_.synchronize();
            clear();
            memory_ = DeviceMemory(device_, device_.allocate(bytes));
            bytes_ = bytes;
        }
    }

    void clear() {
        memory_.reset();
        bytes_ = 0;
        ++generation_;
    }

    Address address() const { return memory_.get(); }
    std::int64_t bytes() const { return bytes_; }

    /// Changes with the address: whoever was given the old one must take the new one.
    std::int64_t generation() const { return generation_; }

private:
    Device& device_;
    DeviceMemory memory_;
    std::int64_t bytes_ = 0;
    std::int64_t generation_ = 0;
};

}  // namespace dvsr
