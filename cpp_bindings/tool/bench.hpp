#pragma once

#include "arguments.hpp"
#include "dvsr/session.hpp"

/// Deblur each of `pictures` `bench_runs` times after the warm-up and print, for each, what was
/// measured under which circumstances: percentiles of every stage in milliseconds. Throws
/// dvsr::Error.
void bench(const dvsr::Session& session, const std::vector<std::filesystem::path>& pictures,
           const Arguments& arguments);

/// The smallest of `values` that `share` (0 to 1] of them do not exceed; nothing is interpolated,
/// so that a tail is one that happened. `values` is not empty.
double percentile(std::vector<double> values, double share);
