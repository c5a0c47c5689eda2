#include <onnxruntime_cxx_api.h>

#include <future>

#include "dvsr/error.hpp"
#include "engine.hpp"

namespace dvsr {
namespace {

/// One environment for the process: ONNX Runtime keeps its threads and logging there.
Ort::Env& environment() {
    // What goes wrong comes back as an exception.
    static Ort::Env env(ORT_LOGGING_LEVEL_FATAL, "dvsr");
    return env;
}

std::string shape_text(const Planes& planes) {
    return "(1, 3, " + std::to_string(planes.height_px) + ", " + std::to_string(planes.width_px) +
           ")";
}

/// A tensor over memory that stays with `planes`. Inputs are only read, which ONNX Runtime's
/// signature cannot say.
Ort::Value tensor(const Planes& planes) {
    const std::array<std::int64_t, 4> shape{1, Planes::kChannels, planes.height_px,
                                            planes.width_px};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    return Ort::Value::CreateTensor<float>(memory, const_cast<float*>(planes.values.data()),
                                           planes.values.size(), shape.data(), shape.size());
}

Ort::Value tensor(const Engine::FloatRow& row) {
    const std::array<std::int64_t, 1> shape{Row::kColumns};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    return Ort::Value::CreateTensor<float>(memory, const_cast<float*>(row.data()), row.size(),
                                           shape.data(), shape.size());
}

class OnnxCpuEngine final : public Engine {
public:
    /// Both graphs at once: optimising them is most of the time from start to first picture.
    explicit OnnxCpuEngine(const Bundle& bundle) {
        auto step =
            std::async(std::launch::async, open, bundle.directory / bundle.manifest.step_file);
        predictor_ = open(bundle.directory / bundle.manifest.predictor_file);
        step_ = step.get();
    }

    std::string name() const override {
        return "onnx-cpu (ONNX Runtime " + Ort::GetVersionString() + ", CPU)";
    }

    void predict(const Planes& y, Planes& guess) override {
        const std::array<const char*, 1> inputs{"y"};
        const std::array<const char*, 1> outputs{"guess"};
        const std::array<Ort::Value, 1> given{tensor(y)};
        std::array<Ort::Value, 1> wanted{tensor(guess)};
        run(predictor_, y, [&](Ort::Session& session) {
            session.Run(Ort::RunOptions{nullptr}, inputs.data(), given.data(), given.size(),
                        outputs.data(), wanted.data(), wanted.size());
        });
    }

    void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
              const FloatRow& row, Planes& z_next, Planes& residual) override {
        const std::array<const char*, 5> inputs{"z", "y", "noise", "previous", "row"};
        const std::array<const char*, 2> outputs{"z_next", "residual"};
        const std::array<Ort::Value, 5> given{tensor(z), tensor(y), tensor(noise), tensor(previous),
                                              tensor(row)};
        std::array<Ort::Value, 2> wanted{tensor(z_next), tensor(residual)};
        run(step_, y, [&](Ort::Session& session) {
            session.Run(Ort::RunOptions{nullptr}, inputs.data(), given.data(), given.size(),
                        outputs.data(), wanted.data(), wanted.size());
        });
    }

private:
    static Ort::Session open(const std::filesystem::path& graph) {
        Ort::SessionOptions options;
        options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
        // A camera hands in one size after another: a plan for a fixed shape would be rebuilt.
        options.DisableMemPattern();
        try {
            return Ort::Session(environment(), graph.c_str(), options);
        } catch (const Ort::Exception& error) {
            throw Error(ErrorKind::engine, "ONNX Runtime cannot open " + graph.string() + ": " +
                                               error.what() + "; export it again");
        }
    }

    template <typename Call>
    static void run(Ort::Session& session, const Planes& y, const Call& call) {
        try {
            call(session);
        } catch (const Ort::Exception& error) {
            throw Error(ErrorKind::engine,
                        "ONNX Runtime failed on y " + shape_text(y) + ": " + error.what());
        }
    }

    Ort::Session predictor_{nullptr};
    Ort::Session step_{nullptr};
};

}  // namespace

std::unique_ptr<Engine> open_onnx_cpu_engine(const Bundle& bundle) {
    return std::make_unique<OnnxCpuEngine>(bundle);
}

}  // namespace dvsr
