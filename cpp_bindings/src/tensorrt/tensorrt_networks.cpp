#include "tensorrt/tensorrt_networks.hpp"

#include <NvInferRuntime.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <sstream>

#include "planes.hpp"

// TensorRT-RTX bears the names of TensorRT, and this macro.
#if defined(TRT_MAJOR_RTX)
#define DVSR_RTX 1
#else
#define DVSR_RTX 0
#endif

namespace dvsr {
namespace {

constexpr std::int32_t kDimensions = 4;

/// The tensors of one graph; all but "row" are pictures.
struct Signature {
    std::vector<const char*> inputs;
    std::vector<const char*> outputs;
};

const Signature& signature(const std::string& graph) {
    static const Signature predictor{{"y"}, {"guess"}};
    static const Signature step{{"z", "y", "noise", "previous", "row"}, {"z_next", "residual"}};
    return graph == "step" ? step : predictor;
}

std::string joined(const std::set<std::string>& names) {
    std::string all;
    for (const std::string& name : names) {
        all += (all.empty() ? "" : ", ") + name;
    }
    return all;
}

/// Keeps the last error that the library spoke of.
class LastWords final : public nvinfer1::ILogger {
public:
    void log(Severity severity, const char* message) noexcept override {
        if (severity > Severity::kERROR) {
            return;
        }
        try {
            std::istringstream words(message);
            std::string line;
            for (std::string word; words >> word;) {
                line += (line.empty() ? "" : " ") + word;
            }
            const std::lock_guard<std::mutex> lock(guard_);
            words_ = std::move(line);
        } catch (...) {
            // No memory for a message: the refusal itself is reported all the same.
        }
    }

    std::string words() const {
        const std::lock_guard<std::mutex> lock(guard_);
        return words_.empty() ? "nothing about it" : words_;
    }

private:
    mutable std::mutex guard_;
    std::string words_;
};

/// The error for what the library refused, with what it said last and what to do.
Error failure(const LastWords& log, const std::string& what, const std::string& command = "") {
    const std::string advice =
        command.empty() ? "python -m export.check finds where" : "build it again: " + command;
    return Error(ErrorKind::engine,
                 "TensorRT " + what + "; it said: " + log.words() + "; " + advice);
}

nvinfer1::Dims dimensions(const char* name, const BatchShape& shape) {
    if (std::string(name) == "row") {
        nvinfer1::Dims row{};
        row.nbDims = 1;
        row.d[0] = static_cast<std::int64_t>(Row::kColumns);
        return row;
    }
    nvinfer1::Dims pictures{};
    pictures.nbDims = kDimensions;
    pictures.d[0] = shape.batch;
    pictures.d[1] = Planes::kChannels;
    pictures.d[2] = shape.height_px;
    pictures.d[3] = shape.width_px;
    return pictures;
}

/// One execution context at one shape.
class TensorRtRunner final : public Runner {
public:
    TensorRtRunner(const LastWords& log, std::string graph, cudaStream_t stream,
                   std::unique_ptr<nvinfer1::IExecutionContext> context, std::int64_t scratch_bytes)
        : log_(log),
          graph_(std::move(graph)),
          stream_(stream),
          context_(std::move(context)),
          scratch_bytes_(scratch_bytes) {}

    std::int64_t scratch_bytes() const override { return scratch_bytes_; }

    bool capturable() override {
#if DVSR_RTX
        return context_->isStreamCapturable(stream_);
#else
        return true;
#endif
    }

    void use_scratch(Address address, std::int64_t bytes) override {
        if (bytes > 0) {
            context_->setDeviceMemoryV2(reinterpret_cast<void*>(address), bytes);
        }
    }

    void bind(const char* name, Address address) override {
        if (!context_->setTensorAddress(name, reinterpret_cast<void*>(address))) {
            throw failure(log_,
                          "refuses an address for " + std::string(name) + " of the " + graph_);
        }
    }

    void enqueue() override {
        if (!context_->enqueueV3(stream_)) {
            throw failure(log_, "refused to run the " + graph_);
        }
    }

private:
    const LastWords& log_;
    std::string graph_;
    cudaStream_t stream_;
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
    std::int64_t scratch_bytes_;
};

class TensorRtNetworks final : public Networks {
public:
    TensorRtNetworks(const PlanStore& plans, std::map<std::string, std::vector<PlanCard>> cards,
                     Device& device, cudaStream_t stream)
        : plans_(plans),
          cards_(std::move(cards)),
          device_(device),
          stream_(stream),
          runtime_(nvinfer1::createInferRuntime(log_)) {
        if (runtime_ == nullptr) {
            throw failure(log_, "does not start");
        }
        for (auto& [graph, several] : cards_) {
            // The one that serves the largest pictures comes first: its range is what errors name.
            std::stable_sort(several.begin(), several.end(),
                             [](const PlanCard& one, const PlanCard& other) {
                                 return reach(one) > reach(other);
                             });
            engine(several.front());
        }
    }

    void check(const std::string& graph, const BatchShape& shape) override { choose(graph, shape); }

    std::int64_t scratch_bytes(const std::string& graph, const BatchShape& shape) override {
        // Scratch memory holds activations, which grow with the pixels of the batch.
        const Choice choice = choose(graph, shape);
        const Profile::Shape& largest = choice.card.identity.profiles[choice.profile].max;
        const double share = static_cast<double>(shape.floats()) / floats(largest);
        const auto scratch = static_cast<double>(choice.card.scratch_bytes[choice.profile]);
        return static_cast<std::int64_t>(scratch * share);
    }

    std::unique_ptr<Runner> open(const std::string& graph, const BatchShape& shape) override {
        const Choice choice = choose(graph, shape);
        auto context = context_of(engine(choice.card));
        if (context == nullptr) {
            throw failure(log_, "cannot make a context of the " + graph);
        }
        const auto profile = static_cast<std::int32_t>(choice.profile);
        if (!context->setOptimizationProfileAsync(profile, stream_)) {
            throw failure(log_, "refuses profile " + std::to_string(profile) + " of the " + graph);
        }
        device_.synchronize();
        for (const char* name : signature(graph).inputs) {
            if (!context->setInputShape(name, dimensions(name, shape))) {
                throw failure(
                    log_, "refuses " + std::string(name) + " " + shape.text() + " of the " + graph);
            }
        }
        const auto scratch = static_cast<std::int64_t>(context->updateDeviceMemorySizeForShapes());
        return std::make_unique<TensorRtRunner>(log_, graph, stream_, std::move(context), scratch);
    }

private:
    using EnginePointer = std::unique_ptr<nvinfer1::ICudaEngine>;

    /// The engine and the profile that serve a shape.
    struct Choice {
        const PlanCard& card;
        std::size_t profile;
    };

    static double floats(const Profile::Shape& shape) {
        double product = 1.0;
        for (const std::int64_t side : shape) {
            product *= static_cast<double>(side);
        }
        return product;
    }

    /// How many pixels the largest batch of an engine has.
    static double reach(const PlanCard& card) {
        double most = 0.0;
        for (const Profile& profile : card.identity.profiles) {
            most = std::max(most, floats(profile.max));
        }
        return most;
    }

    Choice choose(const std::string& graph, const BatchShape& shape) const {
        const Bundle& bundle = plans_.bundle();
        const Size size{shape.width_px, shape.height_px};
        std::optional<Error> refusal;
        const PlanCard* best = nullptr;
        std::size_t best_profile = 0;
        std::int64_t best_distance = 0;
        for (const PlanCard& card : cards_.at(graph)) {
            try {
                const std::size_t profile =
                    pick_profile(bundle.directory, card.identity, size, shape.batch,
                                 bundle.manifest.size_multiple_px);
                const std::int64_t distance = card.identity.profiles[profile].distance_px(size);
                if (best == nullptr || distance < best_distance) {
                    best = &card;
                    best_profile = profile;
                    best_distance = distance;
                }
            } catch (const Error& error) {
                if (!refusal) {
                    refusal = error;
                }
            }
        }
        if (best == nullptr) {
            throw Error(*refusal);
        }
        return {*best, best_profile};
    }

    nvinfer1::ICudaEngine& engine(const PlanCard& card) {
        EnginePointer& kept = engines_[card.file()];
        if (kept == nullptr) {
            kept = read(card);
        }
        return *kept;
    }

    EnginePointer read(const PlanCard& card) {
        const PlanIdentity& identity = card.identity;
        // Such a plan carries code of its own; TensorRT asks that it be allowed.
        runtime_->setEngineHostCodeAllowed(identity.options.version_compatible);
        const std::string plan = plans_.load(card);
        EnginePointer engine(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
        const std::string command = rebuild_command(plans_.bundle().directory, identity);
        if (engine == nullptr) {
            throw failure(log_, "cannot read the plan of the " + identity.graph, command);
        }
        std::set<std::string> found, wanted;
        bool floats = true;
        for (std::int32_t index = 0; index < engine->getNbIOTensors(); ++index) {
            const char* name = engine->getIOTensorName(index);
            found.insert(name);
            floats = floats && engine->getTensorDataType(name) == nvinfer1::DataType::kFLOAT;
        }
        const Signature& tensors = signature(identity.graph);
        wanted.insert(tensors.inputs.begin(), tensors.inputs.end());
        wanted.insert(tensors.outputs.begin(), tensors.outputs.end());
        if (found != wanted || !floats) {
            throw failure(log_,
                          "has a plan of the " + identity.graph + " with " + joined(found) +
                              "; wanted are " + joined(wanted) + ", all float32",
                          command);
        }
        return engine;
    }

    /// A context without memory of its own: all of them share one block.
    std::unique_ptr<nvinfer1::IExecutionContext> context_of(nvinfer1::ICudaEngine& engine) {
        using Context = std::unique_ptr<nvinfer1::IExecutionContext>;
        constexpr auto strategy = nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED;
#if DVSR_RTX
        const std::unique_ptr<nvinfer1::IRuntimeConfig> settings(engine.createRuntimeConfig());
        if (settings == nullptr) {
            return nullptr;
        }
        settings->setExecutionContextAllocationStrategy(strategy);
        // Kernels made for the very shape, and before the first run returns: a graph captured
        // while they are still being made would keep the slower ones for good.
        settings->setDynamicShapesKernelSpecializationStrategy(
            nvinfer1::DynamicShapesKernelSpecializationStrategy::kEAGER);
        return Context(engine.createExecutionContext(settings.get()));
#else
        return Context(engine.createExecutionContext(strategy));
#endif
    }

    const PlanStore& plans_;
    std::map<std::string, std::vector<PlanCard>> cards_;
    Device& device_;
    cudaStream_t stream_;
    // Each refers to those before it.
    LastWords log_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::map<std::string, EnginePointer> engines_;
};

}  // namespace

std::string tensorrt_version() {
    return std::to_string(getInferLibMajorVersion()) + "." +
           std::to_string(getInferLibMinorVersion()) + "." +
           std::to_string(getInferLibPatchVersion()) + "." +
           std::to_string(getInferLibBuildVersion());
}

std::unique_ptr<Networks> open_tensorrt_networks(const PlanStore& plans,
                                                 std::map<std::string, std::vector<PlanCard>> cards,
                                                 Device& device, void* stream) {
    return std::make_unique<TensorRtNetworks>(plans, std::move(cards), device,
                                              static_cast<cudaStream_t>(stream));
}

}  // namespace dvsr
