#include "gpu.hpp"

#include <dlfcn.h>

#include <cstddef>

namespace dvsr {
namespace {

constexpr char kDriver[] = "libcuda.so.1";

struct Gpus {
    int count = 0;
    std::size_t first_bytes = 0;
};

template <typename Function>
Function* function(void* driver, const char* name) {
    return reinterpret_cast<Function*>(::dlsym(driver, name));
}

/// The GPUs that the driver shows (CUDA Driver API, "Initialization"), or none without a driver.
std::optional<Gpus> ask_driver() {
    // Never closed: what uses the driver later shall find it as it was.
    void* driver = ::dlopen(kDriver, RTLD_NOW | RTLD_LOCAL);
    if (driver == nullptr) {
        return std::nullopt;
    }
    auto* const initialise = function<int(unsigned)>(driver, "cuInit");
    auto* const count = function<int(int*)>(driver, "cuDeviceGetCount");
    auto* const device = function<int(int*, int)>(driver, "cuDeviceGet");
    // The suffix stands for the 64-bit form, which took over from cuDeviceTotalMem in CUDA 3.2.
    auto* const memory = function<int(std::size_t*, int)>(driver, "cuDeviceTotalMem_v2");
    if (initialise == nullptr || count == nullptr || device == nullptr || memory == nullptr ||
        initialise(0) != 0) {
        return std::nullopt;
    }
    Gpus gpus;
    int first = 0;
    if (count(&gpus.count) != 0) {
        return Gpus{};
    }
    if (gpus.count > 0 && device(&first, 0) == 0) {
        memory(&gpus.first_bytes, first);
    }
    return gpus;
}

const std::optional<Gpus>& gpus() {
    static const std::optional<Gpus> found = ask_driver();
    return found;
}

}  // namespace

std::optional<std::string> no_gpu() {
    if (!gpus()) {
        return std::string("no NVIDIA driver (") + kDriver +
               ") is on this machine; install it, or name a CPU engine";
    }
    if (gpus()->count == 0) {
        return "the NVIDIA driver finds no GPU; check nvidia-smi, or name a CPU engine";
    }
    return std::nullopt;
}

std::optional<std::int64_t> gpu_bytes() {
    if (!gpus() || gpus()->first_bytes == 0) {
        return std::nullopt;
    }
    return static_cast<std::int64_t>(gpus()->first_bytes);
}

}  // namespace dvsr
