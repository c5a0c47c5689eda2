#include "onnx/graphs.hpp"

namespace dvsr {
namespace {

using onnx::tensor;

/// Both graphs on ONNX Runtime's CPU provider, straight from and into the caller's memory.
class OnnxCpuEngine final : public Engine {
public:
    explicit OnnxCpuEngine(const Bundle& bundle)
        : graphs_(onnx::open_graphs(bundle, onnx::plain_options())) {}

    std::string name() const override {
        return "onnx-cpu (ONNX Runtime " + Ort::GetVersionString() + ", CPU)";
    }

    void predict(const Planes& y, Planes& guess) override {
        const std::array<const char*, 1> inputs{"y"};
        const std::array<const char*, 1> outputs{"guess"};
        const std::array<Ort::Value, 1> given{tensor(y)};
        std::array<Ort::Value, 1> wanted{tensor(guess)};
        onnx::run(y, [&] {
            graphs_.predictor.Run(Ort::RunOptions{nullptr}, inputs.data(), given.data(),
                                  given.size(), outputs.data(), wanted.data(), wanted.size());
        });
    }

    void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
              const FloatRow& row, Planes& z_next, Planes& residual) override {
        const std::array<const char*, 5> inputs{"z", "y", "noise", "previous", "row"};
        const std::array<const char*, 2> outputs{"z_next", "residual"};
        const std::array<Ort::Value, 5> given{tensor(z), tensor(y), tensor(noise), tensor(previous),
                                              tensor(row)};
        std::array<Ort::Value, 2> wanted{tensor(z_next), tensor(residual)};
        onnx::run(y, [&] {
            graphs_.step.Run(Ort::RunOptions{nullptr}, inputs.data(), given.data(), given.size(),
                             outputs.data(), wanted.data(), wanted.size());
        });
    }

private:
    onnx::Graphs graphs_;
};

}  // namespace

std::unique_ptr<Engine> open_onnx_cpu_engine(const Bundle& bundle) {
    return std::make_unique<OnnxCpuEngine>(bundle);
}

}  // namespace dvsr
