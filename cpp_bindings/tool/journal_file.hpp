#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "recipe.hpp"

/// What the file `dvsr-batch.json` holds: every picture of the folder but `others` was made with
/// `recipe`. `others` were there before; they are named relative to the folder.
struct Journal {
    static constexpr std::int64_t kFormat = 1;

    std::int64_t format = kFormat;
    std::string made_by;
    Recipe recipe;
    std::set<std::string> others;
};

bool operator==(const Journal& one, const Journal& other);

/// The journal in `folder`, or none. Throws dvsr::Error (option) for a file that is no journal of
/// this format, and (image) for one that cannot be read.
std::optional<Journal> read_journal(const std::filesystem::path& folder);

/// Write it whole; throws dvsr::Error (image).
void write_journal(const std::filesystem::path& folder, const Journal& journal);
