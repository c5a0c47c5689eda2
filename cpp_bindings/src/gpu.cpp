#include "gpu.hpp"

#include <dlfcn.h>

namespace dvsr {
namespace {

constexpr char kDriver[] = "libcuda.so.1";

/// The GPUs that the driver counts (CUDA Driver API, "Initialization"), or none without a driver.
std::optional<int> count_gpus() {
    // Never closed: what uses the driver later shall find it as it was.
    void* driver = ::dlopen(kDriver, RTLD_NOW | RTLD_LOCAL);
    if (driver == nullptr) {
        return std::nullopt;
    }
    const auto initialise = reinterpret_cast<int (*)(unsigned)>(::dlsym(driver, "cuInit"));
    const auto count = reinterpret_cast<int (*)(int*)>(::dlsym(driver, "cuDeviceGetCount"));
    if (initialise == nullptr || count == nullptr || initialise(0) != 0) {
        return std::nullopt;
    }
    int found = 0;
    return count(&found) == 0 ? found : 0;
}

}  // namespace

std::optional<std::string> no_gpu() {
    static const std::optional<int> found = count_gpus();
    if (!found) {
        return std::string("no NVIDIA driver (") + kDriver +
               ") is on this machine; install it, or name a CPU engine";
    }
    if (*found == 0) {
        return "the NVIDIA driver finds no GPU; check nvidia-smi, or name a CPU engine";
    }
    return std::nullopt;
}

}  // namespace dvsr
