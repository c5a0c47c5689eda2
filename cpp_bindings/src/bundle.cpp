#include "bundle.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <future>
#include <tuple>

#include "dvsr/error.hpp"
#include "joined.hpp"
#include "number_text.hpp"
#include "sha256.hpp"
#include "shipped.hpp"

namespace dvsr {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxSteps = 500;
// A bundle has a handful of files; a hostile list of them gets no thread for each.
constexpr std::size_t kThreads = 8;
constexpr std::size_t kPieceBytes = std::size_t{1} << 17;
constexpr char kManifest[] = "manifest.json";
constexpr char kTables[] = "tables.json";
constexpr char kDefault[] = "tiny";

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::bundle, message); }

std::string read(const fs::path& path) {
    errno = 0;
    std::error_code unknown;
    std::ifstream file(path, std::ios::binary);
    const std::uintmax_t size = fs::file_size(path, unknown);
    std::string content(unknown ? 0 : size, '\0');
    if (!file || unknown || !file.read(content.data(), static_cast<std::streamsize>(size))) {
        refuse("cannot read " + path.string() + ": " + std::strerror(errno != 0 ? errno : EIO));
    }
    return content;
}

/// Size and checksum of a file, read piece by piece: what is read once need not lie in memory.
FileEntry digest(const fs::path& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::vector<char> piece(kPieceBytes);
    Sha256 checksum;
    std::int64_t bytes = 0;
    do {
        file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
        checksum.add(piece.data(), static_cast<std::size_t>(file.gcount()));
        bytes += file.gcount();
    } while (file);
    if (!file.eof()) {
        refuse("cannot read " + path.string() + ": " + std::strerror(errno != 0 ? errno : EIO));
    }
    return {bytes, checksum.text()};
}

std::string shipped_names() {
    std::vector<std::string> names;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(shipped_bundles(), missing)) {
        if (entry.is_directory()) {
            names.push_back(entry.path().filename().string());
        }
    }
    std::sort(names.begin(), names.end());
    return names.empty() ? "none" : joined(names);
}

fs::path find_bundle(const fs::path& where) {
    std::vector<fs::path> candidates;
    if (where.empty()) {
        candidates = {shipped_bundles() / kDefault};
    } else {
        candidates = {where, shipped_bundles() / where};
    }
    for (const fs::path& directory : candidates) {
        std::error_code unreadable;
        if (fs::is_regular_file(directory / kManifest, unreadable)) {
            return directory;
        }
    }
    refuse("no bundle at " + candidates.front().string() + " (no " + kManifest +
           " in it); give a directory made by python -m export.onnx, or a shipped bundle: " +
           shipped_names());
}

bool is_inside(const fs::path& directory, const std::string& name) {
    const fs::path relative(name);
    const bool climbs = std::find(relative.begin(), relative.end(), "..") != relative.end();
    if (relative.is_absolute() || climbs || name.find('\\') != std::string::npos) {
        return false;
    }
    // Symbolic links may lead out: only the resolved places can be compared.
    std::error_code unresolved;
    const fs::path root = fs::weakly_canonical(directory, unresolved);
    const fs::path target = fs::weakly_canonical(directory / relative, unresolved);
    const auto ends = std::mismatch(root.begin(), root.end(), target.begin(), target.end());
    return !unresolved && ends.first == root.end();
}

void check_file(const fs::path& directory, const std::string& name, const FileEntry& entry) {
    const fs::path path = directory / name;
    if (!is_inside(directory, name)) {
        refuse((directory / kManifest).string() + " names " + name +
               ", which lies outside the bundle");
    }
    if (!fs::is_regular_file(path)) {
        refuse(directory.string() + " lacks " + name + "; copy or export the bundle again");
    }
    const auto [bytes, found] = digest(path);
    if (bytes != entry.bytes || found != entry.sha256) {
        refuse(path.string() + " is not the file that " + kManifest + " describes (" +
               std::to_string(bytes) + " bytes, sha256 " + found.substr(0, 12) + "; wanted " +
               std::to_string(entry.bytes) + " bytes, " + entry.sha256.substr(0, 12) +
               "); copy or export the bundle again");
    }
}

auto recipe(const Sampler& sampler) {
    return std::tie(sampler.method, sampler.schedule, sampler.start, sampler.beta_end,
                    sampler.cleanest, sampler.noisiest, sampler.eta);
}

std::string presets_with_steps(const std::map<std::string, Preset>& presets) {
    std::vector<std::string> texts;
    for (const auto& [name, preset] : presets) {
        texts.push_back(name + " (" + std::to_string(preset.sampler.steps) + ")");
    }
    return joined(texts);
}

void check_files(const Bundle& bundle) {
    const Manifest& manifest = bundle.manifest;
    std::vector<std::future<void>> checks;
    for (const auto& file : manifest.files) {
        const bool starts_now = checks.size() < kThreads;
        checks.push_back(std::async(starts_now ? std::launch::async : std::launch::deferred, [&] {
            check_file(bundle.directory, file.first, file.second);
        }));
    }
    for (std::future<void>& check : checks) {
        check.get();
    }
    for (const std::string& name :
         {std::string(kTables), manifest.predictor_file, manifest.step_file}) {
        if (manifest.files.count(name) == 0) {
            refuse((bundle.directory / kManifest).string() + " uses " + name +
                   " but lists no checksum for it; export it again");
        }
    }
}

void check_tables(const Bundle& bundle) {
    const auto entry = bundle.manifest.files.find(kTables);
    if (entry != bundle.manifest.files.end()) {
        check_file(bundle.directory, entry->first, entry->second);
    }
}

Bundle open(const fs::path& where, void (*check)(const Bundle&)) {
    Bundle bundle;
    bundle.directory = find_bundle(where);
    const fs::path path = bundle.directory / kManifest;
    bundle.manifest = parse_manifest(read(path), path);
    check(bundle);
    const fs::path tables = bundle.directory / kTables;
    bundle.presets = parse_tables(read(tables), tables);
    if (bundle.presets.count(bundle.manifest.default_preset) == 0) {
        refuse(path.string() + " names the default preset '" + bundle.manifest.default_preset +
               "', which " + kTables + " lacks; export it again");
    }
    return bundle;
}

}  // namespace

Bundle open_bundle(const fs::path& where) { return open(where, check_files); }

Bundle describe_bundle(const fs::path& where) { return open(where, check_tables); }

double checked_strength(double strength) {
    if (!(strength > 0.0 && strength <= kMaxStrength)) {
        throw Error(ErrorKind::option, "got strength " + number_text(strength) +
                                           "; wanted is a number above 0 and at most 2");
    }
    return strength;
}

const std::string& Bundle::preset_name(const std::string* name) const {
    const std::string& wanted = name == nullptr ? manifest.default_preset : *name;
    const auto found = presets.find(wanted);
    if (found != presets.end()) {
        return found->first;
    }
    std::vector<std::string> names;
    for (const auto& entry : presets) {
        names.push_back(entry.first);
    }
    throw Error(ErrorKind::option,
                "got preset '" + wanted + "'; bundle '" + manifest.name + "' has " + joined(names));
}

const Table& Bundle::table(const std::string& name, const std::int64_t* steps) const {
    static const Table empty;
    const Preset& chosen = presets.at(name);
    if (steps == nullptr || *steps == chosen.sampler.steps) {
        return chosen.table;
    }
    if (*steps == 0) {
        return empty;
    }
    const std::string came = "got " + std::to_string(*steps) + " steps";
    if (*steps < 0 || *steps > kMaxSteps) {
        throw Error(ErrorKind::option, came + "; wanted are 0 to " + std::to_string(kMaxSteps));
    }
    for (const auto& entry : presets) {
        const Sampler& other = entry.second.sampler;
        if (other.steps == *steps && recipe(other) == recipe(chosen.sampler)) {
            return entry.second.table;
        }
    }
    throw Error(ErrorKind::option,
                came + " for preset '" + name + "', and the bundle holds no such table; wanted " +
                    "are 0, or a preset with its own steps: " + presets_with_steps(presets) +
                    ". For other numbers use the Python package, which makes tables");
}

}  // namespace dvsr
