#pragma once

#include <memory>
#include <optional>

#include "tensorrt/device.hpp"
#include "tensorrt/plan_identity.hpp"

namespace dvsr {

/// The first GPU that the CUDA driver shows; nothing where there is none, or no driver.
std::optional<Gpu> first_gpu();

/// That GPU as a `Device`, with a stream of its own, and that stream's handle (a cudaStream_t) for
/// libraries that put work on it. The handle lives as long as the device. Throws Error (engine).
struct CudaStream {
    std::unique_ptr<Device> device;
    void* stream = nullptr;
};
CudaStream open_cuda();

}  // namespace dvsr
