#pragma once

#include <filesystem>
#include <string>

/// A complete bundle in a folder of its own, for engine fake: its graphs are no graphs. Presets:
/// "pair" (2 rows, 2 samples, the default) and "triple" (3 rows of the same recipe, 1 sample).
class SmallBundle {
public:
    SmallBundle();
    ~SmallBundle();
    SmallBundle(const SmallBundle&) = delete;
    SmallBundle& operator=(const SmallBundle&) = delete;

    const std::filesystem::path& path() const { return path_; }

    /// Replace `from`, which must occur, by `to` in file `name`; other checksums stay as they are.
    void edit(const std::string& name, const std::string& from, const std::string& to) const;

    /// Write file `name` and, unless it is the manifest, its checksum into the manifest.
    void write(const std::string& name, const std::string& text) const;

    std::string read(const std::string& name) const;

private:
    std::filesystem::path path_;
};
