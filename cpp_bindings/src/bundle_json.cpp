#include <algorithm>
#include <array>

#include "bundle.hpp"
#include "dvsr/error.hpp"
#include "joined.hpp"
#include "json_reader.hpp"

namespace dvsr {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kFormat = 1;
constexpr std::int64_t kMaxMultiplePx = 4096;
// Far beyond any network; products with the pixels of a picture stay within an integer.
constexpr std::int64_t kMaxTilingNumber = 1 << 20;
constexpr std::array<const char*, Row::kColumns> kColumnNames = {
    "level", "from_z", "from_output", "keep", "take", "take_previous", "noise"};

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::bundle, message); }

void check_format(const JsonReader& manifest, const fs::path& path) {
    const bool present = manifest.has("format");
    if (!present || !manifest.object()["format"].is_number_integer()) {
        refuse(path.string() + " has no integer 'format'; wanted is a bundle of dvsr-edge");
    }
    const std::int64_t version = manifest.at("format").integer();
    if (version > kFormat) {
        refuse(path.string() + " has bundle format " + std::to_string(version) +
               ", this runtime reads up to " + std::to_string(kFormat) +
               "; install a newer dvsr-edge");
    }
}

std::int64_t tiling_number(const JsonReader& tiling, const char* name, std::int64_t least,
                           const fs::path& path) {
    const std::int64_t value = tiling.at(name).integer();
    if (value < least || value > kMaxTilingNumber) {
        refuse(path.string() + " has " + name + " " + std::to_string(value) + "; wanted are " +
               std::to_string(least) + " to " + std::to_string(kMaxTilingNumber) +
               ": export it again");
    }
    return value;
}

Tiling parse_tiling(const JsonReader& reader, const fs::path& path) {
    constexpr char bytes[] = "working_bytes_per_px";
    Tiling tiling;
    tiling.receptive_radius_px = tiling_number(reader, "receptive_radius_px", 0, path);
    if (reader.has(bytes) && !reader.object()[bytes].is_null()) {
        tiling.working_bytes_per_px = tiling_number(reader, bytes, 1, path);
    }
    return tiling;
}

std::map<std::string, FileEntry> parse_files(const JsonReader& reader) {
    std::map<std::string, FileEntry> files;
    for (const auto& item : reader.object().items()) {
        const JsonReader entry = reader.at(item.key());
        files[item.key()] = {entry.at("bytes").integer(), entry.at("sha256").text()};
    }
    return files;
}

double number_or(const JsonReader& reader, const char* name, double otherwise) {
    return reader.has(name) ? reader.at(name).number() : otherwise;
}

std::string text_or(const JsonReader& reader, const char* name, const char* otherwise) {
    return reader.has(name) ? reader.at(name).text() : otherwise;
}

/// The defaults are those that Python leaves out of nothing it writes, but accepts as left out.
Sampler parse_sampler(const JsonReader& reader) {
    Sampler sampler;
    sampler.method = text_or(reader, "method", "ancestral");
    sampler.schedule = text_or(reader, "schedule", "linear");
    sampler.start = text_or(reader, "start", "noise");
    sampler.steps = reader.has("steps") ? reader.at("steps").integer() : 10;
    sampler.beta_end = number_or(reader, "beta_end", 0.5);
    sampler.cleanest = number_or(reader, "cleanest", 9.0);
    sampler.noisiest = number_or(reader, "noisiest", -4.0);
    sampler.eta = number_or(reader, "eta", 0.0);
    return sampler;
}

Row parse_row(const json& values, const fs::path& path, const std::string& preset) {
    if (!values.is_array() || values.size() != Row::kColumns) {
        refuse(path.string() + ": preset '" + preset + "' has a row that is not " +
               std::to_string(Row::kColumns) + " numbers");
    }
    Row row{};
    for (std::size_t column = 0; column < Row::kColumns; ++column) {
        row.values[column] =
            JsonReader(values[column], path, "$.presets." + preset + ".rows").number();
    }
    return row;
}

Preset parse_preset(const JsonReader& reader, const fs::path& path, const std::string& name) {
    Preset preset;
    preset.samples = reader.at("samples").integer();
    preset.sampler = parse_sampler(reader.at("sampler"));
    preset.table.start = reader.at("start").number();
    for (const json& row : reader.at("rows").array()) {
        preset.table.rows.push_back(parse_row(row, path, name));
    }
    preset.self_ensemble = reader.has("self_ensemble") && reader.at("self_ensemble").boolean();
    preset.strength = reader.has("strength") ? reader.at("strength").number() : 1.0;
    if (!(preset.strength > 0.0 && preset.strength <= kMaxStrength)) {
        refuse(path.string() + ": preset '" + name +
               "' has a strength that is not above 0 and at most 2");
    }
    return preset;
}

void check_columns(const JsonReader& tables, const fs::path& path) {
    std::vector<std::string> names;
    for (const json& column : tables.at("columns").array()) {
        names.push_back(JsonReader(column, path, "$.columns").text());
    }
    if (!std::equal(names.begin(), names.end(), kColumnNames.begin(), kColumnNames.end())) {
        refuse(path.string() + " has the columns " + joined(names) + "; wanted are " +
               joined(kColumnNames) + ": export it again");
    }
}

}  // namespace

Manifest parse_manifest(const std::string& text, const fs::path& path) {
    const json document = parse_json(text, path);
    const JsonReader reader(document, path);
    check_format(reader, path);
    Manifest manifest;
    manifest.name = reader.at("name").text();
    manifest.precision = reader.at("precision").text();
    manifest.size_multiple_px = reader.at("size_multiple_px").integer();
    manifest.predictor_file = reader.at("predictor").at("file").text();
    manifest.step_file = reader.at("step").at("file").text();
    manifest.default_preset = reader.at("default_preset").text();
    manifest.tiling = parse_tiling(reader.at("tiling"), path);
    manifest.files = parse_files(reader.at("files"));
    if (manifest.size_multiple_px < 1 || manifest.size_multiple_px > kMaxMultiplePx) {
        refuse(path.string() + " wants sizes in multiples of " +
               std::to_string(manifest.size_multiple_px) + " px; wanted are 1 to " +
               std::to_string(kMaxMultiplePx) + ": export it again");
    }
    return manifest;
}

std::map<std::string, Preset> parse_tables(const std::string& text, const fs::path& path) {
    const json document = parse_json(text, path);
    const JsonReader tables(document, path);
    check_columns(tables, path);
    std::map<std::string, Preset> presets;
    const JsonReader all = tables.at("presets");
    for (const auto& entry : all.object().items()) {
        presets[entry.key()] = parse_preset(all.at(entry.key()), path, entry.key());
    }
    return presets;
}

}  // namespace dvsr
