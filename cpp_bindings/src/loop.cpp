#include "loop.hpp"

#include <utility>

namespace dvsr {

Planes start_of(const Table& table, const Noise& noise) {
    Planes z = noise(0);
    for (float& value : z.values) {
        value *= static_cast<float>(table.start);
    }
    return z;
}

Planes sample_residual(const Table& table, const Planes& y, Engine& engine, const Noise& noise) {
    if (auto* whole = dynamic_cast<SamplingEngine*>(&engine)) {
        return whole->sample(table, y, noise);
    }
    const Planes silent = zeros_like(y);
    Planes previous = silent, residual = silent, z_next = silent;
    Planes z = start_of(table, noise);
    std::uint32_t step = 0;
    for (const Row& row : table.rows) {
        ++step;
        const Planes& fresh = row.adds_noise() ? noise(step) : silent;
        engine.step(z, y, fresh, previous, to_floats(row), z_next, residual);
        std::swap(z, z_next);
        std::swap(previous, residual);
    }
    return z;
}

}  // namespace dvsr
