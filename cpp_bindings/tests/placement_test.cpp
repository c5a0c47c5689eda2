#include "placement.hpp"

#include <doctest/doctest.h>

#include "small_bundle.hpp"

namespace {

constexpr std::int64_t kMib = 1 << 20;

/// Engine fake, on a device that has this much memory.
class OnDevice final : public dvsr::Engine {
public:
    explicit OnDevice(std::int64_t bytes) : bytes_(bytes) {}

    std::string name() const override { return inner_->name(); }
    std::optional<std::int64_t> device_bytes() const override { return bytes_; }
    void predict(const dvsr::Planes& y, dvsr::Planes& guess) override { inner_->predict(y, guess); }
    void step(const dvsr::Planes& z, const dvsr::Planes& y, const dvsr::Planes& noise,
              const dvsr::Planes& previous, const FloatRow& row, dvsr::Planes& z_next,
              dvsr::Planes& residual) override {
        inner_->step(z, y, noise, previous, row, z_next, residual);
    }

private:
    std::int64_t bytes_;
    std::unique_ptr<dvsr::Engine> inner_ = dvsr::open_fake_engine();
};

/// For four samples of 64 x 64 px, of which each takes 1144 bytes a pixel: 4.5 MiB.
dvsr::Portion portion(dvsr::Engine& engine, const dvsr::Memory& memory) {
    const SmallBundle files;
    const dvsr::Bundle bundle = dvsr::open_bundle(files.path());
    return dvsr::portion_of(engine, bundle.manifest, bundle.presets.at("pair").table, 4,
                            dvsr::Planes(64, 64), memory);
}

}  // namespace

TEST_CASE("a stated memory takes the samples that it has room for, less what a session keeps") {
    const auto engine = dvsr::open_fake_engine();
    CHECK(portion(*engine, {100}).samples == 4);
    CHECK(portion(*engine, {16}).samples == 3);
    CHECK(portion(*engine, {15}).samples == 2);
    const dvsr::Portion tiles = portion(*engine, {4});
    CHECK(tiles.samples == 1);
    CHECK(tiles.tile_px == 48);
}

TEST_CASE("what a call holds already is not there for its samples and tiles") {
    const auto engine = dvsr::open_fake_engine();
    CHECK(portion(*engine, {16, kMib}).samples == 2);
    CHECK(portion(*engine, {4, kMib}).tile_px == 40);
}

TEST_CASE("what a call holds is not among what is free") {
    const auto engine = dvsr::open_fake_engine();
    CHECK(portion(*engine, {std::nullopt, std::int64_t{1} << 50}).samples == 4);
}

TEST_CASE("what a call holds of the host's memory takes nothing from a device") {
    OnDevice device(100 * kMib);
    CHECK(portion(device, {16, 100 * kMib}).samples == 3);
    CHECK(portion(device, {std::nullopt, 100 * kMib}).samples == 4);
}

TEST_CASE("without a stated memory it is the engine's device that counts") {
    OnDevice small(6 * kMib), large(12 * kMib);
    CHECK(portion(small, {}).samples == 1);
    CHECK(portion(large, {}).samples == 2);
    CHECK(portion(small, {16}).samples == 3);
}

TEST_CASE("where no memory was measured samples go one by one") {
    const SmallBundle files;
    files.edit("manifest.json", "\"working_bytes_per_px\": 1000", "\"working_bytes_per_px\": null");
    const dvsr::Bundle bundle = dvsr::open_bundle(files.path());
    const auto engine = dvsr::open_fake_engine();
    const dvsr::Portion portion = dvsr::portion_of(
        *engine, bundle.manifest, bundle.presets.at("pair").table, 4, dvsr::Planes(64, 64), {});
    CHECK(portion.samples == 1);
    CHECK(!portion.tile_px);
}
