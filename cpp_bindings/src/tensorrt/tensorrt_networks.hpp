#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tensorrt/networks.hpp"
#include "tensorrt/plan_store.hpp"

namespace dvsr {

/// The library's version as engines' identities have it, like "10.16.1.11".
std::string tensorrt_version();

/// Engines that fit this machine, read when a shape first needs them; a context for each shape.
///
/// `cards` are those of "predictor" and "step", at least one each. One of each is read at once, so
/// that a plan that this machine refuses is found before the first picture. Work goes to `stream`,
/// a cudaStream_t of `device`. Refers to `plans` and `device`. Throws Error (engine).
std::unique_ptr<Networks> open_tensorrt_networks(const PlanStore& plans,
                                                 std::map<std::string, std::vector<PlanCard>> cards,
                                                 Device& device, void* stream);

}  // namespace dvsr
