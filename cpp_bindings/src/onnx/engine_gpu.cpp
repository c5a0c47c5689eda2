#include <unistd.h>

#include <algorithm>
#include <map>

#include "gpu.hpp"
#include "joined.hpp"
#include "onnx/engine_device.hpp"

namespace dvsr {
namespace {

using ProviderOptions = std::map<std::string, std::string>;

constexpr std::int64_t kMib = 1 << 20;
constexpr char kCuda[] = "CUDAExecutionProvider";
constexpr char kTensorrt[] = "TensorrtExecutionProvider";

const char* provider_of(OnnxGpu kind) { return kind == OnnxGpu::cuda ? kCuda : kTensorrt; }

/// What ONNX Runtime's two kinds of options have in common: made, filled, appended, let go.
template <typename Options>
using Owned = std::unique_ptr<Options, void(ORT_API_CALL*)(Options*)>;

template <typename Update>
void fill(const ProviderOptions& values, const Update& update) {
    std::vector<const char*> keys, texts;
    for (const auto& [key, text] : values) {
        keys.push_back(key.c_str());
        texts.push_back(text.c_str());
    }
    Ort::ThrowOnError(update(keys.data(), texts.data(), keys.size()));
}

void append_cuda(Ort::SessionOptions& options, const ProviderOptions& values) {
    const OrtApi& api = Ort::GetApi();
    OrtCUDAProviderOptionsV2* made = nullptr;
    Ort::ThrowOnError(api.CreateCUDAProviderOptions(&made));
    const Owned<OrtCUDAProviderOptionsV2> owned(made, api.ReleaseCUDAProviderOptions);
    fill(values, [&](const char* const* keys, const char* const* texts, std::size_t count) {
        return api.UpdateCUDAProviderOptions(made, keys, texts, count);
    });
    options.AppendExecutionProvider_CUDA_V2(*made);
}

void append_tensorrt(Ort::SessionOptions& options, const ProviderOptions& values) {
    const OrtApi& api = Ort::GetApi();
    OrtTensorRTProviderOptionsV2* made = nullptr;
    Ort::ThrowOnError(api.CreateTensorRTProviderOptions(&made));
    const Owned<OrtTensorRTProviderOptionsV2> owned(made, api.ReleaseTensorRTProviderOptions);
    fill(values, [&](const char* const* keys, const char* const* texts, std::size_t count) {
        return api.UpdateTensorRTProviderOptions(made, keys, texts, count);
    });
    options.AppendExecutionProvider_TensorRT_V2(*made);
}

ProviderOptions cuda_options(const std::optional<std::int64_t>& memory_mib) {
    ProviderOptions options{{"device_id", "0"}, {"arena_extend_strategy", "kSameAsRequested"}};
    if (memory_mib) {
        // Two graphs, an arena each.
        options["gpu_mem_limit"] = std::to_string(*memory_mib * kMib / 2);
    }
    return options;
}

ProviderOptions tensorrt_options(const Bundle& bundle) {
    ProviderOptions options{{"device_id", "0"}};
    if (::access(bundle.directory.c_str(), W_OK) == 0) {
        options["trt_engine_cache_enable"] = "1";
        options["trt_engine_cache_path"] = (bundle.directory / "engines" / "onnxruntime").string();
    }
    return options;
}

Ort::SessionOptions options_for(OnnxGpu kind, const Bundle& bundle,
                                const std::optional<std::int64_t>& memory_mib) {
    Ort::SessionOptions options = onnx::plain_options();
    try {
        if (kind == OnnxGpu::tensorrt) {
            append_tensorrt(options, tensorrt_options(bundle));
        }
        // Behind TensorRT, it runs what TensorRT does not take.
        append_cuda(options, cuda_options(memory_mib));
    } catch (const Ort::Exception& error) {
        throw Error(ErrorKind::engine,
                    "ONNX Runtime could not start its " + std::string(provider_of(kind)) + " (" +
                        error.what() +
                        "); check that the CUDA, cuDNN and TensorRT libraries it was built for are "
                        "installed, or name another engine");
    }
    return options;
}

std::optional<std::string> missing_provider(OnnxGpu kind) {
    const std::vector<std::string> there = Ort::GetAvailableProviders();
    if (std::find(there.begin(), there.end(), provider_of(kind)) != there.end()) {
        return std::nullopt;
    }
    return "this ONNX Runtime " + Ort::GetVersionString() + " has " + joined(there) +
           ", wanted is " + provider_of(kind) +
           "; link that of onnxruntime-gpu: scripts/fetch_onnxruntime.sh takes it from its wheel";
}

}  // namespace

std::optional<std::string> onnx_gpu_obstacle(OnnxGpu kind) {
    const std::optional<std::string> missing = missing_provider(kind);
    return missing ? missing : no_gpu();
}

std::unique_ptr<Engine> open_onnx_gpu_engine(OnnxGpu kind, const Bundle& bundle,
                                             const std::optional<std::int64_t>& memory_mib) {
    const std::string name = kind == OnnxGpu::cuda ? "onnx-cuda" : "onnx-tensorrt";
    if (const auto obstacle = onnx_gpu_obstacle(kind)) {
        throw Error(ErrorKind::engine, "engine '" + name + "' cannot run: " + *obstacle);
    }
    return std::make_unique<onnx::DeviceEngine>(
        bundle, name + " (ONNX Runtime " + Ort::GetVersionString() + ", GPU 0)", "Cuda",
        gpu_bytes(), options_for(kind, bundle, memory_mib));
}

}  // namespace dvsr
