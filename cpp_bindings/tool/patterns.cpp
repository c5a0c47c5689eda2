#include "patterns.hpp"

#include <fnmatch.h>

#include <algorithm>

#include "folders.hpp"

namespace {

namespace fs = std::filesystem;
using Paths = std::vector<fs::path>;

bool is_hidden(const std::string& name) { return name.front() == '.'; }

/// Where the set ends that begins at `first`, or npos: a bracket in the first place is a member.
std::size_t end_of_set(const std::string& pattern, std::size_t first) {
    first += pattern.compare(first, 1, "!") == 0 ? 1U : 0U;
    first += pattern.compare(first, 1, "]") == 0 ? 1U : 0U;
    return pattern.find(']', first);
}

/// `pattern` in the language of fnmatch(3), which also knows backslashes, `[^...]` and classes.
std::string for_fnmatch(const std::string& pattern) {
    std::string text;
    std::size_t set_end = 0;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const char letter = pattern[at];
        const bool begins_set =
            letter == '[' && at >= set_end && end_of_set(pattern, at + 1) != std::string::npos;
        if (begins_set) {
            set_end = end_of_set(pattern, at + 1);
        }
        const bool plain = begins_set || (letter != '[' && letter != '^' && letter != '\\');
        text += plain ? "" : "\\";
        text += letter;
    }
    return text;
}

/// The names in `folder`, those of folders alone with `folders_only`.
std::vector<std::string> names_in(const fs::path& folder, bool folders_only) {
    std::vector<std::string> names;
    std::error_code unreadable;
    auto entry = fs::directory_iterator(folder.empty() ? "." : folder, unreadable);
    while (!unreadable && entry != fs::directory_iterator()) {
        if (!folders_only || is_folder(entry->path())) {
            names.push_back(entry->path().filename().string());
        }
        entry.increment(unreadable);
    }
    return names;
}

void add_all_below(const fs::path& folder, bool folders_only, Paths& found) {
    for (const std::string& name : names_in(folder, folders_only)) {
        if (!is_hidden(name)) {
            found.push_back(folder / name);
            add_all_below(folder / name, folders_only, found);
        }
    }
}

void add_matching(const fs::path& folder, const std::string& part, bool folders_only,
                  Paths& found) {
    const std::string pattern = for_fnmatch(part);
    for (const std::string& name : names_in(folder, folders_only)) {
        const bool meant = is_hidden(part) || !is_hidden(name);
        if (meant && ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0) {
            found.push_back(folder / name);
        }
    }
}

/// What the next `part` of a pattern matches in `folders`.
Paths below(const Paths& folders, const std::string& part, bool folders_only) {
    Paths found;
    for (const fs::path& folder : folders) {
        if (part == "**") {
            found.push_back(folder);
            add_all_below(folder, folders_only, found);
        } else if (has_magic(part)) {
            add_matching(folder, part, folders_only, found);
        } else {
            found.push_back(folder / part);
        }
    }
    return found;
}

}  // namespace

bool has_magic(const std::string& text) { return text.find_first_of("*?[") != std::string::npos; }

Paths matches(const fs::path& pattern) {
    Paths found = {fs::path()};
    for (auto part = pattern.begin(); part != pattern.end(); ++part) {
        found = below(found, part->string(), std::next(part) != pattern.end());
    }
    const auto missing = [](const fs::path& path) {
        std::error_code unknown;
        return !fs::exists(fs::symlink_status(path, unknown));
    };
    found.erase(std::remove_if(found.begin(), found.end(), missing), found.end());
    return found;
}

fs::path fixed_part(const fs::path& pattern) {
    fs::path fixed;
    for (auto part = pattern.begin(); std::next(part) != pattern.end(); ++part) {
        if (has_magic(part->string())) {
            break;
        }
        fixed /= *part;
    }
    return fixed;
}
