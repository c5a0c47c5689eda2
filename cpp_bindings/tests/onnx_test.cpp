#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "dvsr/noise.hpp"
#include "dvsr/session.hpp"
#include "expect_error.hpp"
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
    dvsr::onnx::DeviceEngine bound(bundle, "bound", "Cpu", dvsr::onnx::plain_options());
    const dvsr::Planes y = picture(16, 32);

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

TEST_CASE("single steps through bindings, which tiles take, are those of the CPU engine") {
    const dvsr::Bundle bundle = dvsr::open_bundle("");
    const auto plain = dvsr::open_onnx_cpu_engine(bundle);
    dvsr::onnx::DeviceEngine bound(bundle, "bound", "Cpu", dvsr::onnx::plain_options());
    const dvsr::Planes y = picture(16, 16);
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

TEST_CASE("a graph that is none is refused in one call, whichever of the two it is") {
    const SmallBundle files;
    expect_error(dvsr::ErrorKind::engine, "ONNX Runtime cannot open",
                 [&] { dvsr::Session(files.path(), "onnx-cpu"); });
}
