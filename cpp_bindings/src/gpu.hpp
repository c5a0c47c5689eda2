#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dvsr {

/// Why no NVIDIA GPU can be used here, or none where one can. Asked of the driver itself, which is
/// looked for when the program runs: a library that needs it would not load without it.
std::optional<std::string> no_gpu();

/// All memory of the first GPU, in bytes, or none where no driver tells.
std::optional<std::int64_t> gpu_bytes();

}  // namespace dvsr
