#include "engine.hpp"

namespace dvsr {
namespace {

/// Deterministic stand-in for tests and for measuring the loop: the predictor gives the picture
/// back, the network inside the step graph gives a quarter of the picture.
class FakeEngine final : public Engine {
public:
    std::string name() const override { return "fake (no graphs, CPU)"; }

    void predict(const Planes& y, Planes& guess) override { guess.values = y.values; }

    void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
              const FloatRow& row, Planes& z_next, Planes& residual) override {
        const auto [level, from_z, from_output, keep, take, take_previous, strength] = row;
        static_cast<void>(level);
        for (std::size_t at = 0; at < z.values.size(); ++at) {
            const float estimate = from_z * z.values[at] + from_output * (0.25F * y.values[at]);
            residual.values[at] = estimate;
            z_next.values[at] = keep * z.values[at] + take * estimate +
                                take_previous * previous.values[at] + strength * noise.values[at];
        }
    }
};

}  // namespace

std::unique_ptr<Engine> open_fake_engine() { return std::make_unique<FakeEngine>(); }

}  // namespace dvsr
