// A CUDA driver library on this computer's memory: enough of libcuda.so.1 for runtime/cuda/driver.py
// to be run, through cuda-python, where there is no GPU. What is captured is done at the launch.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "host_kernels.cpp"

namespace {

using Job = std::function<void()>;
using Graph = std::vector<Job>;

constexpr int kSuccess = 0, kOutOfMemory = 2, kNotFound = 500;
constexpr std::size_t kCapacity = 64u << 20;

std::size_t held = 0;
std::unordered_map<void*, std::size_t> sizes;
Graph* captured = nullptr;
std::vector<std::string*> names;

int put(Job job) {
    if (captured) captured->push_back(std::move(job));
    else job();
    return kSuccess;
}

int handle(void** out) {
    static std::uintptr_t next = 16;
    *out = reinterpret_cast<void*>(next += 16);
    return kSuccess;
}

int allocate(void** out, std::size_t size) {
    if (held + size > kCapacity) return kOutOfMemory;
    *out = std::aligned_alloc(256, (size + 255) / 256 * 256);
    sizes[*out] = size;
    held += size;
    return kSuccess;
}

int release(void* address) {
    held -= sizes.at(address);
    sizes.erase(address);
    std::free(address);
    return kSuccess;
}

int copy(void* to, const void* from, std::size_t size, void*) {
    return put([=] { std::memcpy(to, from, size); });
}

int launch_kernel(void* function, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned,
                  unsigned, unsigned, void*, void** values, void**) {
    // The driver copies the arguments at the call, eight bytes at most each here.
    struct Arguments {
        std::vector<std::uint64_t> words;
        std::vector<void*> pointers;
    };
    static const std::unordered_map<std::string, int> counts = {
        {"to_model", 6}, {"to_picture", 8}, {"scale", 4},
        {"accumulate", 6}, {"to_spread", 5}, {"normals", 8}, {"recut", 8}};
    const std::string name = *static_cast<std::string*>(function);
    const int count = counts.at(name);
    std::vector<std::uint64_t> words(static_cast<std::size_t>(count));
    for (int k = 0; k < count; ++k) {
        const bool is_float = name == "scale" && k == 2;
        std::memcpy(&words[static_cast<std::size_t>(k)], values[k], is_float ? 4 : 8);
    }
    return put([name, words, blocks, threads, count]() mutable {
        std::vector<void*> pointers;
        for (auto& word : words) pointers.push_back(&word);
        if (launch(name.c_str(), blocks, threads, pointers.data(), count)) std::abort();
    });
}

const std::unordered_map<std::string, void*>& functions() {
    static const std::unordered_map<std::string, void*> table = [] {
        std::unordered_map<std::string, void*> found;
        const auto add = [&](const char* name, auto function) {
            found[name] = reinterpret_cast<void*>(+function);
        };
        add("cuInit", [](unsigned) { return kSuccess; });
        add("cuDriverGetVersion", [](int* version) { return *version = 13000, kSuccess; });
        add("cuDeviceGet", [](int* device, int) { return *device = 0, kSuccess; });
        add("cuDeviceGetAttribute", [](int* value, int key, int) {
            // Compute capability 8.6.
            return *value = key == 75 ? 8 : 6, kSuccess;
        });
        add("cuDevicePrimaryCtxRetain", [](void** out, int) { return handle(out); });
        add("cuDevicePrimaryCtxRelease", [](int) { return kSuccess; });
        add("cuCtxSetCurrent", [](void*) { return kSuccess; });
        add("cuStreamCreate", [](void** out, unsigned) { return handle(out); });
        add("cuStreamDestroy", [](void*) { return kSuccess; });
        add("cuStreamWaitEvent", [](void*, void*, unsigned) { return captured ? 900 : kSuccess; });
        add("cuPointerGetAttribute", [](void* value, int key, void* address) {
            // 9: the device's ordinal, which only memory of the device has.
            const auto at = static_cast<char*>(address);
            for (const auto& [start, size] : sizes)
                if (key == 9 && at >= start && at < static_cast<char*>(start) + size)
                    return *static_cast<int*>(value) = 0, kSuccess;
            return 1;
        });
        add("cuStreamSynchronize", [](void*) { return captured ? 900 : kSuccess; });
        add("cuMemGetInfo", [](std::size_t* free, std::size_t* total) {
            return *free = kCapacity - held, *total = kCapacity, kSuccess;
        });
        add("cuMemAlloc", allocate);
        add("cuMemFree", release);
        add("cuMemHostAlloc", [](void** out, std::size_t size, unsigned) {
            return *out = std::calloc(1, size), kSuccess;
        });
        add("cuMemFreeHost", [](void* address) { return std::free(address), kSuccess; });
        add("cuMemcpyHtoDAsync", copy);
        add("cuMemcpyDtoHAsync", copy);
        add("cuMemsetD8Async", [](void* to, unsigned char value, std::size_t size, void*) {
            return put([=] { std::memset(to, value, size); });
        });
        add("cuModuleLoadData", [](void** out, const void* image) {
            // Real machine code, which begins as every ELF file does.
            return std::memcmp(image, "\x7f" "ELF", 4) ? 200 : handle(out);
        });
        add("cuModuleUnload", [](void*) { return kSuccess; });
        add("cuModuleGetFunction", [](void** out, void*, const char* name) {
            names.push_back(new std::string(name));
            return *out = names.back(), kSuccess;
        });
        add("cuLaunchKernel", launch_kernel);
        add("cuEventCreate", [](void** out, unsigned) { return handle(out); });
        add("cuEventRecord", [](void*, void*) { return kSuccess; });
        add("cuEventDestroy", [](void*) { return kSuccess; });
        add("cuEventElapsedTime", [](float* ms, void* first, void* second) {
            return *ms = first == second ? 0.0f : 0.5f, kSuccess;
        });
        add("cuStreamBeginCapture", [](void*, int mode) {
            // 1: thread local.
            return captured = new Graph, mode == 1 ? kSuccess : 1;
        });
        add("cuStreamEndCapture", [](void*, void** out) {
            *out = captured;
            captured = nullptr;
            return kSuccess;
        });
        add("cuGraphInstantiate", [](void** out, void* graph, unsigned long long) {
            return *out = new Graph(*static_cast<Graph*>(graph)), kSuccess;
        });
        add("cuGraphDestroy", [](void* graph) {
            return delete static_cast<Graph*>(graph), kSuccess;
        });
        add("cuGraphExecDestroy", [](void* graph) {
            return delete static_cast<Graph*>(graph), kSuccess;
        });
        add("cuGraphLaunch", [](void* graph, void*) {
            for (const auto& job : *static_cast<Graph*>(graph)) job();
            return kSuccess;
        });
        return found;
    }();
    return table;
}

int find(const char* symbol, void** out) {
    std::string name = symbol;
    for (const char* suffix : {"_ptsz", "_v2", "_v3", "WithFlags"}) {
        const std::string end = suffix;
        if (name.size() > end.size() && name.substr(name.size() - end.size()) == end)
            name.resize(name.size() - end.size());
    }
    const auto found = functions().find(name);
    *out = found == functions().end() ? nullptr : found->second;
    return *out ? kSuccess : kNotFound;
}

}  // namespace

extern "C" int cuGetProcAddress_v2(const char* symbol, void** out, int, std::uint64_t,
                                   int* status) {
    if (std::string(symbol).rfind("cuGetProcAddress", 0) == 0) {
        *out = reinterpret_cast<void*>(&cuGetProcAddress_v2);
        return kSuccess;
    }
    const int code = find(symbol, out);
    if (status) *status = code == kSuccess ? 0 : 1;
    // Names that nobody calls are not there, which is no failure of the question.
    return kSuccess;
}

extern "C" int cuGetProcAddress(const char* symbol, void** out, int version, std::uint64_t flags) {
    return cuGetProcAddress_v2(symbol, out, version, flags, nullptr);
}
