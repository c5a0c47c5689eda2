#pragma once

#include <cstdint>

#include "dvsr/export.hpp"

namespace dvsr {

/// Standard normal noise as a function of (seed, sample, step, pixel, channel) and nothing else,
/// the same bits as `runtime.noise.normals`. Writes float (3, height_px, width_px) to `field`.
///
/// Bits come from Philox4x64-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
/// 2011), normals from Box and Muller (1958) on polynomials that IEEE 754 defines to the bit.
DVSR_API void normals(std::uint64_t seed, std::uint32_t sample, std::uint32_t step,
                      std::int64_t height_px, std::int64_t width_px, float* field);

}  // namespace dvsr
