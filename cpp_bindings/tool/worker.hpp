#pragma once

#include <utility>
#include <vector>

#include "dvsr/session.hpp"
#include "plan.hpp"

/// Milliseconds by stage.
using Stages = std::vector<std::pair<const char*, double>>;

/// Read, deblur and write one picture and the views wanted, and print what was done. Throws
/// dvsr::Error.
Stages deblur_file(const dvsr::Session& session, const Job& job, const dvsr::Options& options);
