#include "tensorrt/layout.hpp"

#include <algorithm>

#include "sha256.hpp"

namespace dvsr {
namespace {

constexpr std::int64_t kFloatBytes = sizeof(float);
constexpr std::size_t kChecksumDigits = 16;

}  // namespace

std::vector<std::int64_t> Layout::noisy_steps() const {
    std::vector<std::int64_t> steps;
    if (!rows.empty()) {
        steps.push_back(0);
    }
    for (std::size_t row = 0; row < rows.size(); ++row) {
        if (adds_noise(row)) {
            steps.push_back(static_cast<std::int64_t>(row) + 1);
        }
    }
    return steps;
}

std::int64_t Layout::output_bytes() const {
    return spread ? spread_offset() + kFloatBytes * picture_bytes() : kHeadBytes + picture_bytes();
}

std::int64_t Layout::field_bytes() const { return kFloatBytes * step_shape().floats(); }

std::int64_t Layout::noise_bytes(bool kept) const {
    const auto fields = static_cast<std::int64_t>(noisy_steps().size());
    return field_bytes() * (kept ? fields * turns() : std::min<std::int64_t>(fields, 1));
}

std::map<std::string, std::int64_t> Layout::buffers() const {
    const std::int64_t one = kFloatBytes * floats(), batch = field_bytes();
    std::map<std::string, std::int64_t> sizes = {
        {"input", input_bytes()}, {"output", output_bytes()}, {"y", batch}, {"guess", one}};
    if (!rows.empty()) {
        for (const char* name : {"z0", "z1", "residual0", "residual1", "zero"}) {
            sizes[name] = batch;
        }
        sizes["mean"] = sizes["squares"] = one;
        sizes["rows"] = kRowBytes * static_cast<std::int64_t>(rows.size());
        sizes["noise"] = noise_bytes(resident);
    }
    return sizes;
}

std::int64_t Layout::buffer_bytes() const {
    std::int64_t total = 0;
    for (const auto& buffer : buffers()) {
        total += aligned(buffer.second);
    }
    return total;
}

std::string Layout::table_checksum() const {
    std::string data(reinterpret_cast<const char*>(&start), sizeof start);
    for (const Engine::FloatRow& row : rows) {
        data.append(reinterpret_cast<const char*>(row.data()), sizeof row);
    }
    return sha256(data).substr(0, kChecksumDigits);
}

}  // namespace dvsr
