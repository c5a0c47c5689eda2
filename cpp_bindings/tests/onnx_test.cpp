#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "dvsr/noise.hpp"
#include "dvsr/session.hpp"
#include "expect_error.hpp"
#include "gpu.hpp"
#include "noise_fields.hpp"
#include "onnx/engine_device.hpp"
#include "small_bundle.hpp"

namespace {

/// A picture that no padding and no symmetry leaves as it is.
dvsr::Planes picture(std::int64_t height, std::int64_t width) {
    dvsr::Planes y(height, width);
    dvsr::normals(3, 0, 0, height, width, y.values.data());
    return y;
}

dvsr::Noise noise_like(const dvsr::Planes& y) {
    const auto field = std::make_shared<dvsr::Planes>(y);
    return [field](std::uint32_t step) -> const dvsr::Planes& {
        dvsr::normals(1, 0, step, field->height_px, field->width_px, field->values.data());
        return *field;
    };
}

}  // namespace

// The provider differs from a GPU's, the bindings do not.
TEST_CASE("state that stays on the device gives the picture of state that is handed around") {
    const dvsr::Bundle bundle = dvsr::open_bundle("");
    const auto plain = dvsr::open_onnx_cpu_engine(bundle);
    dvsr::onnx::DeviceEngine bound(bundle, "bound", "Cpu", std::nullopt,
                                   dvsr::onnx::plain_options());
    const dvsr::Planes y = picture(32, 64);

    dvsr::Planes guess = y, wanted = y;
    bound.predict(y, guess);
    plain->predict(y, wanted);
    CHECK(guess.values == wanted.values);

    for (const auto& [name, preset] : bundle.presets) {
        CAPTURE(name);
        dvsr::Table table = preset.table;
        table.rows.resize(std::min<std::size_t>(table.rows.size(), 5));
        CHECK(dvsr::sample_residual(table, y, bound, noise_like(y)).values ==
              dvsr::sample_residual(table, y, *plain, noise_like(y)).values);
    }
}

TEST_CASE("samples that go through an engine as one batch are those of one by one") {
    const dvsr::Bundle bundle = dvsr::open_bundle("");
    const auto plain = dvsr::open_onnx_cpu_engine(bundle);
    dvsr::onnx::DeviceEngine bound(bundle, "bound", "Cpu", std::nullopt,
                                   dvsr::onnx::plain_options());
    const dvsr::Planes y = picture(64, 96);
    dvsr::Table table = bundle.presets.at("balanced").table;
    table.rows.resize(4);
    dvsr::NoiseFields fields(0);
    const auto sampled = [&](dvsr::Engine& engine, std::uint32_t first, std::int64_t count) {
        std::shared_ptr<const dvsr::Planes> field;
        const dvsr::Noise noise = [&](std::uint32_t step) -> const dvsr::Planes& {
            field = fields.field({3, first, step, y.height_px, y.width_px, count});
            return *field;
        };
        return dvsr::sample_residual(table, dvsr::repeated(y, count), engine, noise);
    };
    const dvsr::Planes together = sampled(*plain, 0, 3);
    CHECK(sampled(bound, 0, 3).values == together.values);
    for (std::uint32_t index = 0; index < 3; ++index) {
        const dvsr::Planes alone = sampled(*plain, index, 1);
        for (std::size_t at = 0; at < alone.values.size(); ++at) {
            // Where a batch is cut for the threads decides the order of some sums.
            REQUIRE(std::abs(together.picture(index)[at] - alone.values[at]) < 1e-4F);
        }
    }
}

TEST_CASE("single steps through bindings, which tiles take, are those of the CPU engine") {
    const dvsr::Bundle bundle = dvsr::open_bundle("");
    const auto plain = dvsr::open_onnx_cpu_engine(bundle);
    dvsr::onnx::DeviceEngine bound(bundle, "bound", "Cpu", std::nullopt,
                                   dvsr::onnx::plain_options());
    const dvsr::Planes y = picture(32, 32);
    const dvsr::Engine::FloatRow row =
        dvsr::to_floats(bundle.presets.begin()->second.table.rows[0]);
    dvsr::Planes z = y, residual = y, z_wanted = y, residual_wanted = y;
    bound.step(y, y, y, y, row, z, residual);
    plain->step(y, y, y, y, row, z_wanted, residual_wanted);
    CHECK(z.values == z_wanted.values);
    CHECK(residual.values == residual_wanted.values);
}

TEST_CASE("an engine whose provider this ONNX Runtime lacks is refused with what to link") {
    const SmallBundle files;
    for (const dvsr::OnnxGpu kind : {dvsr::OnnxGpu::cuda, dvsr::OnnxGpu::tensorrt}) {
        const std::string name = kind == dvsr::OnnxGpu::cuda ? "onnx-cuda" : "onnx-tensorrt";
        const auto obstacle = dvsr::onnx_gpu_obstacle(kind);
        if (!obstacle) {
            MESSAGE("not tried: this machine can run it");
            continue;
        }
        CHECK(obstacle->find('\n') == std::string::npos);
        expect_error(dvsr::ErrorKind::engine, "engine '" + name + "' cannot run: " + *obstacle,
                     [&] { dvsr::Session(files.path(), name); });
    }
}

TEST_CASE("where there is a GPU its memory is known, and only there") {
    CHECK(dvsr::gpu_bytes().has_value() == !dvsr::no_gpu().has_value());
}

TEST_CASE("a graph that is none is refused in one call, whichever of the two it is") {
    const SmallBundle files;
    expect_error(dvsr::ErrorKind::engine, "ONNX Runtime cannot open",
                 [&] { dvsr::Session(files.path(), "onnx-cpu"); });
}
