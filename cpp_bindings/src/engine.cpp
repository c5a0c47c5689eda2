#include "engine.hpp"

#include <algorithm>
#include <iterator>

#include "dvsr/error.hpp"
#include "joined.hpp"

namespace dvsr {
namespace {

/// Where no engine of that name was built in: what to build the library with.
[[noreturn]] void refuse(const std::string& name) {
#if !defined(DVSR_WITH_ONNXRUNTIME)
    if (name == "auto" || name == "onnx-cpu" || name == "onnx-cuda" || name == "onnx-tensorrt") {
        throw Error(ErrorKind::engine, "engine '" + name +
                                           "' needs ONNX Runtime, which this library was built "
                                           "without; build it with -DDVSR_WITH_ONNXRUNTIME=ON");
    }
#endif
    if (name == "tensorrt" || name == "tensorrt-rtx") {
        const bool rtx = name == "tensorrt-rtx";
        throw Error(ErrorKind::engine,
                    "engine '" + name + "' needs " + (rtx ? "TensorRT-RTX" : "TensorRT") +
                        ", which this library was built without; build it with " +
                        (rtx ? "-DTENSORRT_RTX_ROOT=DIR" : "-DTENSORRT_ROOT=DIR") +
                        ", where DIR holds its include and lib");
    }
    throw Error(ErrorKind::engine,
                "got engine '" + name + "'; wanted is auto or one of " + joined(engine_names()));
}

/// The engine that "auto" stands for, decided before anything is opened: by speed, of those that
/// can run here. An engine that fails to open is an error, never a reason to try the next.
std::string chosen(const std::string& name, const Bundle& bundle) {
    if (name != "auto") {
        return name;
    }
#if defined(DVSR_TENSORRT_LIBRARY)
    if (tensorrt_has_plans(bundle)) {
        return DVSR_TENSORRT_LIBRARY;
    }
#else
    static_cast<void>(bundle);
#endif
#if defined(DVSR_WITH_ONNXRUNTIME)
    return onnx_gpu_obstacle(OnnxGpu::cuda) ? "onnx-cpu" : "onnx-cuda";
#else
    return name;
#endif
}

}  // namespace

Engine::FloatRow to_floats(const Row& row) {
    Engine::FloatRow floats{};
    std::transform(std::begin(row.values), std::end(row.values), floats.begin(),
                   [](double value) { return static_cast<float>(value); });
    return floats;
}

std::vector<std::string> engine_names() {
    std::vector<std::string> names;
#if defined(DVSR_TENSORRT_LIBRARY)
    names = {DVSR_TENSORRT_LIBRARY};
#endif
#if defined(DVSR_WITH_ONNXRUNTIME)
    names.insert(names.end(), {"onnx-cuda", "onnx-tensorrt", "onnx-cpu"});
#endif
    names.emplace_back("fake");
    return names;
}

std::unique_ptr<Engine> open_engine(const std::string& name, const Bundle& bundle,
                                    const std::optional<std::int64_t>& memory_mib) {
    const std::string wanted = chosen(name, bundle);
    static_cast<void>(memory_mib);
    if (wanted == "fake") {
        return open_fake_engine();
    }
#if defined(DVSR_WITH_ONNXRUNTIME)
    if (wanted == "onnx-cpu") {
        return open_onnx_cpu_engine(bundle);
    }
    if (wanted == "onnx-cuda") {
        return open_onnx_gpu_engine(OnnxGpu::cuda, bundle, memory_mib);
    }
    if (wanted == "onnx-tensorrt") {
        return open_onnx_gpu_engine(OnnxGpu::tensorrt, bundle, memory_mib);
    }
#endif
#if defined(DVSR_TENSORRT_LIBRARY)
    if (wanted == DVSR_TENSORRT_LIBRARY) {
        return open_tensorrt_engine(bundle, memory_mib);
    }
#endif
    refuse(wanted);
}

}  // namespace dvsr
