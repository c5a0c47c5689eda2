#include "engine.hpp"

#include "dvsr/error.hpp"

namespace dvsr {

std::vector<std::string> engine_names() {
#if defined(DVSR_WITH_ONNXRUNTIME)
    return {"onnx-cpu", "fake"};
#else
    return {"fake"};
#endif
}

std::unique_ptr<Engine> open_engine(const std::string& name, const Bundle& bundle) {
    if (name == "fake") {
        return open_fake_engine();
    }
    if (name == "auto" || name == "onnx-cpu") {
#if defined(DVSR_WITH_ONNXRUNTIME)
        return open_onnx_cpu_engine(bundle);
#else
        static_cast<void>(bundle);
        throw Error(ErrorKind::engine, "engine '" + name +
                                           "' needs ONNX Runtime, which this library was built "
                                           "without; build it with -DDVSR_WITH_ONNXRUNTIME=ON");
#endif
    }
    std::string known;
    for (const std::string& engine : engine_names()) {
        known += (known.empty() ? "" : ", ") + engine;
    }
    throw Error(ErrorKind::engine, "got engine '" + name + "'; wanted is auto or one of " + known);
}

}  // namespace dvsr
