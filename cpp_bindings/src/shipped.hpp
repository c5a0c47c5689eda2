#pragma once

#include <filesystem>

namespace dvsr {

/// `relative` as seen from the folder of the library or program that this is compiled into, so that
/// an installed tree can be moved.
std::filesystem::path beside_this(const std::filesystem::path& relative);

/// The folder of the bundles installed with this library or program.
std::filesystem::path shipped_bundles();

}  // namespace dvsr
