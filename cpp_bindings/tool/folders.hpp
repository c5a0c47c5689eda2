#pragma once

#include <filesystem>

/// Whether there is a folder; false where it may not be looked at.
bool is_folder(const std::filesystem::path& path);

/// Create `folder` and those above it; throws dvsr::Error (image).
void create_folder(const std::filesystem::path& folder);
