#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace dvsr {

/// One row of a sampler table, in the order of the bundle's columns: level, from_z, from_output,
/// keep, take, take_previous, noise.
struct Row {
    static constexpr std::size_t kColumns = 7;
    static constexpr std::size_t kNoise = 6;

    bool adds_noise() const { return values[kNoise] != 0.0; }

    double values[kColumns];
};

/// A compiled sampler: the state starts at `start` times normals.
struct Table {
    double start = 0.0;
    std::vector<Row> rows;
};

/// The recipe that a table was compiled from; only compared, never computed with.
struct Sampler {
    std::string method;
    std::string schedule;
    std::string start;
    std::int64_t steps = 0;
    double beta_end = 0.0;
    double cleanest = 0.0;
    double noisiest = 0.0;
    double eta = 0.0;
};

/// What is changed in a picture is multiplied by this at most.
constexpr double kMaxStrength = 2.0;

/// A named way to sample.
struct Preset {
    std::int64_t samples = 1;
    Sampler sampler;
    Table table;
    bool self_ensemble = false;  ///< samples are drawn on the picture turned
    double strength = 1.0;       ///< what they change in it is multiplied by it
};

/// What decides whether a picture is cut into tiles, and how.
struct Tiling {
    std::int64_t receptive_radius_px = 0;  ///< how far a pixel's influence can reach
    /// Memory of the engine for each pixel given to it; none where it was not measured.
    std::optional<std::int64_t> working_bytes_per_px;
};

/// Size and checksum of one file.
struct FileEntry {
    std::int64_t bytes = 0;
    std::string sha256;
};

/// What this library uses of `manifest.json`. File names are relative to the bundle.
struct Manifest {
    std::string name;
    std::string precision;
    std::int64_t size_multiple_px = 1;
    std::string predictor_file;
    std::string step_file;
    std::string default_preset;
    Tiling tiling;
    std::map<std::string, FileEntry> files;
};

/// An opened bundle: every file listed was there and had its checksum when it was opened.
struct Bundle {
    std::filesystem::path directory;
    Manifest manifest;
    std::map<std::string, Preset> presets;

    /// The preset of that name, or the default one for null; throws Error (option).
    const std::string& preset_name(const std::string* name) const;

    /// The table of preset `name`; with `steps` another table of the bundle that differs from it
    /// in the number of steps only, or an empty one for 0. Throws Error (option).
    const Table& table(const std::string& name, const std::int64_t* steps) const;
};

/// The strength asked for; throws Error (option) where it is out of range.
double checked_strength(double strength);

/// Open the bundle at `where`: a directory, a shipped one's name, or empty for the default.
/// Throws Error (bundle) where anything is missing, damaged, outside the directory, or too new.
Bundle open_bundle(const std::filesystem::path& where);

/// The same for who needs no graphs: they are not read, let alone checked.
Bundle describe_bundle(const std::filesystem::path& where);

/// The text of a `manifest.json`; `path` is for messages. Throws Error (bundle).
Manifest parse_manifest(const std::string& text, const std::filesystem::path& path);

/// The presets in the text of a `tables.json`; `path` is for messages. Throws Error (bundle).
std::map<std::string, Preset> parse_tables(const std::string& text,
                                           const std::filesystem::path& path);

}  // namespace dvsr
