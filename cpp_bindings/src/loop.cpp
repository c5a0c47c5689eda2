#include "loop.hpp"

#include <utility>

namespace dvsr {

Planes sample_residual(const Table& table, const Planes& y, Engine& engine, const Noise& noise) {
    const Planes silent(y.height_px, y.width_px);
    Planes fresh = silent, previous = silent, residual = silent, z = silent, z_next = silent;
    noise(0, z);
    for (float& value : z.values) {
        value *= static_cast<float>(table.start);
    }
    std::uint32_t step = 0;
    for (const Row& row : table.rows) {
        ++step;
        const bool adds_noise = row.values[Row::kNoise] != 0.0;
        if (adds_noise) {
            noise(step, fresh);
        }
        engine.step(z, y, adds_noise ? fresh : silent, previous, to_floats(row), z_next, residual);
        std::swap(z, z_next);
        std::swap(previous, residual);
    }
    return z;
}

}  // namespace dvsr
