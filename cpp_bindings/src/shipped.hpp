#pragma once

#include <filesystem>

namespace dvsr {

/// The folder of the bundles installed with this library, found from where the library lies, so
/// that an installed tree can be moved.
std::filesystem::path shipped_bundles();

}  // namespace dvsr
