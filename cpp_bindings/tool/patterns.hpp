#pragma once

#include <filesystem>
#include <string>
#include <vector>

/// Patterns such as `photos/**/*.jpg`, by the rules of Python's glob.

/// Whether `text` holds a letter that stands for others.
bool has_magic(const std::string& text);

/// What `pattern` matches, in no order. `**` stands for any number of folders; hidden names are
/// matched only by patterns that begin with a dot; folders that cannot be read hold nothing.
std::vector<std::filesystem::path> matches(const std::filesystem::path& pattern);

/// The leading parts of `pattern` that stand for themselves, without its last one.
std::filesystem::path fixed_part(const std::filesystem::path& pattern);
