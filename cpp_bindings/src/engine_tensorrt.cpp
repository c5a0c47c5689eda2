#include "dvsr/error.hpp"
#include "engine.hpp"
#include "tensorrt/cuda_device.hpp"
#include "tensorrt/device_loop.hpp"
#include "tensorrt/plan_store.hpp"
#include "tensorrt/tensorrt_networks.hpp"

namespace dvsr {
namespace {

constexpr char kLibrary[] = DVSR_TENSORRT_LIBRARY;

Gpu required_gpu() {
    if (auto gpu = first_gpu()) {
        return *gpu;
    }
    throw Error(ErrorKind::engine, std::string(kLibrary) +
                                       " needs an NVIDIA GPU and this machine shows no CUDA "
                                       "device; check the driver with nvidia-smi, or take an "
                                       "engine that needs none, such as onnx-cpu");
}

/// The two networks of a bundle as TensorRT engines. Takes engines from the bundle's `engines`
/// directory that `python -m export.trt` built for this GPU, this version of the library and these
/// graphs; another one is never loaded.
class TensorRtEngine final : public LoopEngine {
public:
    TensorRtEngine(const Bundle& bundle, const std::optional<std::int64_t>& memory_mib)
        : plans_(bundle) {
        const Gpu gpu = required_gpu();
        const std::string version = tensorrt_version();
        std::map<std::string, std::vector<PlanCard>> cards;
        for (const char* graph : {"predictor", "step"}) {
            cards[graph] = plans_.runnable(graph, kLibrary, version, gpu);
        }
        CudaStream cuda = open_cuda();
        auto networks = open_tensorrt_networks(plans_, std::move(cards), *cuda.device, cuda.stream);
        const std::string name = std::string(kLibrary) + " " + version + " (" + gpu.name + ", " +
                                 bundle.manifest.precision + ")";
        loop_ = std::make_unique<DeviceLoop>(name, bundle.manifest, std::move(cuda.device),
                                             std::move(networks), memory_mib);
    }

    std::string name() const override { return loop_->name(); }

    void predict(const Planes& y, Planes& guess) override { loop_->predict(y, guess); }

    void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
              const FloatRow& row, Planes& z_next, Planes& residual) override {
        loop_->step(z, y, noise, previous, row, z_next, residual);
    }

    bool fits(const LoopRequest& request) override { return loop_->fits(request); }

    Timings run(const LoopRequest& request, std::uint8_t* picture, float* spread) override {
        return loop_->run(request, picture, spread);
    }

private:
    PlanStore plans_;
    std::unique_ptr<DeviceLoop> loop_;
};

}  // namespace

bool tensorrt_has_plans(const Bundle& bundle) {
    std::error_code missing;
    for (const auto& entry :
         std::filesystem::directory_iterator(PlanStore(bundle).directory(), missing)) {
        if (entry.path().extension() == ".plan") {
            return first_gpu().has_value();
        }
    }
    return false;
}

std::unique_ptr<Engine> open_tensorrt_engine(const Bundle& bundle,
                                             const std::optional<std::int64_t>& memory_mib) {
    return std::make_unique<TensorRtEngine>(bundle, memory_mib);
}

}  // namespace dvsr
