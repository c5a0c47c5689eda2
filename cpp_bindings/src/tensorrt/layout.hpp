#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine.hpp"
#include "tensorrt/networks.hpp"

namespace dvsr {

/// One run of the loop on the device: a picture, `samples` of it, `at_once` of them in a batch,
/// which divides them. With `resident` noise every field of it stays on the device; else each is
/// made just before its step.
struct Layout {
    // Inputs and outputs travel with a head; what follows it stays aligned. So does each row.
    static constexpr std::int64_t kHeadBytes = kAlignment;
    static constexpr std::int64_t kRowBytes = kAlignment;

    Frame frame;
    std::int64_t samples = 1;
    std::int64_t at_once = 1;
    float start = 0.0F;
    std::vector<Engine::FloatRow> rows;
    bool resident = true;
    bool spread = false;

    /// Numbers in one float picture of the padded size.
    std::int64_t floats() const { return predictor_shape().floats(); }
    /// How often the sampler runs, with `at_once` samples each time.
    std::int64_t turns() const { return samples / at_once; }
    BatchShape predictor_shape() const {
        return {1, frame.padded_height_px, frame.padded_width_px};
    }
    BatchShape step_shape() const {
        return {at_once, frame.padded_height_px, frame.padded_width_px};
    }
    bool adds_noise(std::size_t row) const { return rows[row][Row::kNoise] != 0.0F; }

    /// The steps whose noise is used: 0 is the start, k + 1 belongs to row k.
    std::vector<std::int64_t> noisy_steps() const;

    std::int64_t picture_bytes() const { return 3 * frame.height_px * frame.width_px; }
    std::int64_t input_bytes() const { return kHeadBytes + picture_bytes(); }
    std::int64_t spread_offset() const { return kHeadBytes + aligned(picture_bytes()); }
    std::int64_t output_bytes() const;
    /// One field of floats for the step's whole batch.
    std::int64_t field_bytes() const;

    /// Memory of the noise, kept or made anew.
    std::int64_t noise_bytes(bool kept) const;

    /// Names and bytes of all device buffers.
    std::map<std::string, std::int64_t> buffers() const;

    /// Device memory of all buffers.
    std::int64_t buffer_bytes() const;

    /// A short checksum of what the table does.
    std::string table_checksum() const;
};

}  // namespace dvsr
