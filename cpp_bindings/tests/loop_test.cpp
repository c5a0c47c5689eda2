#include "loop.hpp"

#include <doctest/doctest.h>

namespace {

struct Asked {
    std::vector<std::uint32_t> steps;
    dvsr::Planes ones{1, 1};

    dvsr::Noise noise() {
        ones.values = {1.0F, 1.0F, 1.0F};
        return [this](std::uint32_t step) -> const dvsr::Planes& {
            steps.push_back(step);
            return ones;
        };
    }
};

}  // namespace

TEST_CASE("the loop starts at start times noise and runs the rows in order") {
    const auto engine = dvsr::open_fake_engine();
    dvsr::Planes y(1, 1);
    y.values = {4.0F, 4.0F, 4.0F};  // engine fake answers a quarter of it: 1
    // level, from_z, from_output, keep, take, take_previous, noise
    const dvsr::Table table{0.5,
                            {{{0.0, 1.0, 1.0, 2.0, 1.0, 0.0, 1.0}},     // r = 1.5, z = 1+1.5+1
                             {{0.0, 0.0, 2.0, 1.0, 1.0, 10.0, 0.0}}}};  // r = 2, z = 3.5+2+15
    Asked asked;
    const dvsr::Planes z = dvsr::sample_residual(table, y, *engine, asked.noise());
    CHECK(z.values == std::vector<float>{20.5F, 20.5F, 20.5F});
}

TEST_CASE("rows without noise draw none") {
    const auto engine = dvsr::open_fake_engine();
    const dvsr::Table table{1.0, {{{0, 0, 1, 0, 1, 0, 0.0}}, {{0, 0, 1, 0, 1, 0, 0.1}}}};
    Asked asked;
    dvsr::sample_residual(table, dvsr::Planes(1, 1), *engine, asked.noise());
    CHECK(asked.steps == std::vector<std::uint32_t>{0, 2});
}
