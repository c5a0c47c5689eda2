#include "answer.hpp"

#include <doctest/doctest.h>

#include <memory>

#include "small_bundle.hpp"

namespace {

/// A predictor that adds 40 grey levels.
class Brightener final : public dvsr::Engine {
public:
    std::string name() const override { return "brightener"; }
    void predict(const dvsr::Planes& y, dvsr::Planes& guess) override {
        for (std::size_t at = 0; at < y.values.size(); ++at) {
            guess.values[at] = y.values[at] + 40.0F / 127.5F;
        }
    }
    void step(const dvsr::Planes&, const dvsr::Planes&, const dvsr::Planes&, const dvsr::Planes&,
              const FloatRow&, dvsr::Planes&, dvsr::Planes&) override {}
};

/// The grey level that 100 becomes, the same all over, in place.
int brightened(double strength, bool turns) {
    const SmallBundle files;
    const dvsr::Opened opened{dvsr::open_bundle(files.path()), std::nullopt,
                              std::make_unique<Brightener>(),
                              std::make_unique<dvsr::NoiseFields>(0), "brightener"};
    const dvsr::Table predictor_alone;
    std::vector<std::uint8_t> picture(3 * 5 * 7, 100);
    dvsr::answer({predictor_alone, 3, 0, turns, strength}, {picture.data(), 5, 7, 3, 21},
                 {picture.data(), 5, 7, 3, 21}, nullptr, opened);
    for (const std::uint8_t level : picture) {
        CHECK(level == picture.front());
    }
    return picture.front();
}

}  // namespace

TEST_CASE("a strength multiplies what is changed, and what leaves the range is clipped") {
    for (const bool turns : {false, true}) {
        CHECK(brightened(0.5, turns) == 120);
        CHECK(brightened(1.0, turns) == 140);
        CHECK(brightened(1.2, turns) == 148);
        CHECK(brightened(4.0, turns) == 255);
    }
}
