#include "onnx/engine_device.hpp"

namespace dvsr::onnx {
namespace {

/// Two arrays on the device that take turns as a step's output and the next one's input.
class Pair {
public:
    Pair(Ort::Session& session, const char* device, const Planes& like)
        : allocator_(session, Ort::MemoryInfo(device, OrtArenaAllocator, 0, OrtMemTypeDefault)),
          first_(array(like)),
          second_(array(like)) {}

    const Ort::Value& turn(std::size_t step) const { return step % 2 == 0 ? first_ : second_; }

private:
    Ort::Value array(const Planes& like) {
        const std::array<std::int64_t, 4> shape{like.count, Planes::kChannels, like.height_px,
                                                like.width_px};
        return Ort::Value::CreateTensor<float>(allocator_, shape.data(), shape.size());
    }

    Ort::Allocator allocator_;
    Ort::Value first_;
    Ort::Value second_;
};

void run_bound(Ort::Session& session, const Ort::IoBinding& binding) {
    session.Run(Ort::RunOptions{nullptr}, binding);
}

}  // namespace

void DeviceEngine::predict(const Planes& y, Planes& guess) {
    run(y, [&] {
        Ort::IoBinding binding(graphs_.predictor.session());
        binding.BindInput("y", tensor(y));
        binding.BindOutput("guess", tensor(guess));
        run_bound(graphs_.predictor.session(), binding);
    });
}

void DeviceEngine::step(const Planes& z, const Planes& y, const Planes& noise,
                        const Planes& previous, const FloatRow& row, Planes& z_next,
                        Planes& residual) {
    run(y, [&] {
        Ort::IoBinding binding(graphs_.step.session());
        binding.BindInput("z", tensor(z));
        binding.BindInput("y", tensor(y));
        binding.BindInput("noise", tensor(noise));
        binding.BindInput("previous", tensor(previous));
        binding.BindInput("row", tensor(row));
        binding.BindOutput("z_next", tensor(z_next));
        binding.BindOutput("residual", tensor(residual));
        run_bound(graphs_.step.session(), binding);
    });
}

Planes DeviceEngine::sample(const Table& table, const Planes& y, const Noise& noise) {
    const Planes silent = zeros_like(y);
    Planes end = silent;
    const Planes start = start_of(table, noise);
    run(y, [&] {
        const Pair states(graphs_.step.session(), device_, y),
            residuals(graphs_.step.session(), device_, y);
        // Binding an input that lies elsewhere copies it to the device, once.
        Ort::IoBinding binding(graphs_.step.session());
        binding.BindInput("y", tensor(y));
        binding.BindInput("z", tensor(start));
        binding.BindInput("previous", tensor(silent));
        binding.BindInput("noise", tensor(silent));
        bool is_silent = true;
        for (std::size_t step = 0; step < table.rows.size(); ++step) {
            const Row& row = table.rows[step];
            if (row.adds_noise()) {
                binding.BindInput("noise", tensor(noise(static_cast<std::uint32_t>(step + 1))));
            } else if (!is_silent) {
                binding.BindInput("noise", tensor(silent));
            }
            is_silent = !row.adds_noise();
            const FloatRow numbers = to_floats(row);
            binding.BindInput("row", tensor(numbers));
            if (step + 1 < table.rows.size()) {
                binding.BindOutput("z_next", states.turn(step));
            } else {
                binding.BindOutput("z_next", tensor(end));
            }
            binding.BindOutput("residual", residuals.turn(step));
            run_bound(graphs_.step.session(), binding);
            binding.BindInput("z", states.turn(step));
            binding.BindInput("previous", residuals.turn(step));
        }
    });
    return end;
}

}  // namespace dvsr::onnx
