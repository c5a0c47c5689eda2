#include "tensorrt/plan_store.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "dvsr/error.hpp"
#include "sha256.hpp"

namespace dvsr {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kCardFormat = 1;
// tensorrt-rtx, not told otherwise, builds engines for Ampere and later.
constexpr std::int64_t kPortableFromSm = 80;

std::string mismatch(const fs::path& directory, const std::string& graph,
                     const std::vector<std::string>& apart) {
    std::string parts;
    for (const std::string& part : apart) {
        parts += (parts.empty() ? "" : "; ") + part;
    }
    return "no engine of the " + graph + " in " + directory.string() + " is the one wanted (" +
           parts + ")";
}

bool runs_on(const PlanIdentity& identity, const Gpu& gpu) {
    if (identity.library == "tensorrt") {
        return identity.device == gpu.text();
    }
    const auto& targets = identity.targets;
    return targets.empty() ? gpu.sm >= kPortableFromSm
                           : std::find(targets.begin(), targets.end(), gpu.sm) != targets.end();
}

/// What to build so that `gpu` is served too: the same, with its weights in the plan.
PlanIdentity aimed_at(PlanIdentity identity, const Gpu& gpu) {
    identity.options.strip_weights = false;
    if (identity.library != "tensorrt" && !runs_on(identity, gpu)) {
        identity.targets.push_back(gpu.sm);
        std::sort(identity.targets.begin(), identity.targets.end());
    }
    return identity;
}

std::optional<PlanCard> card_of(const json& value) {
    if (value.at("format").get<std::int64_t>() > kCardFormat) {
        return std::nullopt;
    }
    const auto identity = parse_identity(value.at("identity"));
    if (!identity) {
        return std::nullopt;
    }
    const json& plan = value.at("plan");
    PlanCard card{*identity,
                  {plan.at("bytes").get<std::int64_t>(), plan.at("sha256").get<std::string>()},
                  value.at("memory").at("scratch").get<std::vector<std::int64_t>>()};
    const bool whole = card.scratch_bytes.size() == card.identity.profiles.size();
    return whole ? std::optional(card) : std::nullopt;
}

}  // namespace

PlanStore::PlanStore(const Bundle& bundle)
    : bundle_(bundle), directory_(bundle.directory / "engines") {}

std::vector<PlanCard> PlanStore::cards() const {
    std::vector<fs::path> paths;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(directory_, missing)) {
        const fs::path& path = entry.path();
        if (path.extension() == ".json" && path.filename().string().front() != '.') {
            paths.push_back(path);
        }
    }
    std::sort(paths.begin(), paths.end());
    std::vector<PlanCard> cards;
    for (const fs::path& path : paths) {
        if (auto card = read(path)) {
            cards.push_back(std::move(*card));
        }
    }
    return cards;
}

std::vector<PlanCard> PlanStore::runnable(const std::string& graph, const std::string& library,
                                          const std::string& version, const Gpu& gpu) const {
    std::vector<PlanCard> fitting;
    std::optional<PlanIdentity> nearest;
    std::vector<std::string> apart;
    bool of_another_library = false;
    for (PlanCard& card : cards()) {
        if (card.identity.graph != graph) {
            continue;
        }
        if (card.identity.library != library) {
            of_another_library = true;
            continue;
        }
        std::vector<std::string> obstacles = this->obstacles(card, version, gpu);
        if (!nearest || obstacles.size() < apart.size()) {
            nearest = card.identity;
            apart = obstacles;
        }
        if (obstacles.empty()) {
            fitting.push_back(std::move(card));
        }
    }
    if (!nearest) {
        throw Error(ErrorKind::engine,
                    directory_.string() + " holds no " + library + " engine of the " + graph +
                        (of_another_library ? " (there are some of another library)" : "") +
                        "; build it: python -m export.trt " +
                        shell_quoted(bundle_.directory.string()) + " --library " + library);
    }
    if (fitting.empty()) {
        throw Error(ErrorKind::engine,
                    mismatch(directory_, graph, apart) + "; build it: " +
                        rebuild_command(bundle_.directory, aimed_at(*nearest, gpu)));
    }
    return fitting;
}

std::string PlanStore::load(const PlanCard& card) const {
    if (auto data = plan(card)) {
        return std::move(*data);
    }
    throw Error(ErrorKind::engine, (directory_ / card.file()).string() +
                                       " is not the file that its card describes; build it "
                                       "again: " +
                                       rebuild_command(bundle_.directory, card.identity));
}

std::vector<std::string> PlanStore::obstacles(const PlanCard& card, const std::string& version,
                                              const Gpu& gpu) const {
    const Manifest& manifest = bundle_.manifest;
    const std::string& file =
        card.identity.graph == "step" ? manifest.step_file : manifest.predictor_file;
    PlanIdentity now = card.identity;
    now.graph_sha256 = manifest.files.at(file).sha256;
    now.precision = manifest.precision;
    now.library_version = version;
    if (!runs_on(card.identity, gpu)) {
        now.device = gpu.text();
    }
    std::vector<std::string> apart = differences(card.identity, now);
    if (!plan(card)) {
        apart.push_back("plan: it has other bytes than its card describes, wanted is a whole file");
    }
    if (card.identity.options.strip_weights) {
        apart.push_back("plan: it has no weights (--strip-weights), wanted is one with weights");
    }
    return apart;
}

/// The card at `path`; nothing for one that is damaged, too new, or under another's name.
std::optional<PlanCard> PlanStore::read(const fs::path& path) const {
    const auto text = bytes(path);
    if (!text) {
        return std::nullopt;
    }
    try {
        const auto card = card_of(json::parse(*text));
        return card && path.stem() == card->identity.key() ? card : std::nullopt;
    } catch (const json::exception&) {
        return std::nullopt;
    }
}

/// The plan that `card` describes; nothing if its file is missing or another one.
std::optional<std::string> PlanStore::plan(const PlanCard& card) const {
    auto data = bytes(directory_ / card.file());
    const bool whole = data && static_cast<std::int64_t>(data->size()) == card.plan.bytes &&
                       sha256(*data) == card.plan.sha256;
    return whole ? std::move(data) : std::nullopt;
}

/// What `path` holds; nothing where it cannot be read or leads out of the bundle.
std::optional<std::string> PlanStore::bytes(const fs::path& path) const {
    std::error_code unresolved;
    const fs::path root = fs::canonical(bundle_.directory, unresolved);
    const fs::path target = unresolved ? fs::path() : fs::canonical(path, unresolved);
    if (unresolved ||
        std::mismatch(root.begin(), root.end(), target.begin(), target.end()).first != root.end()) {
        return std::nullopt;
    }
    std::ifstream file(target, std::ios::binary);
    std::string data{std::istreambuf_iterator<char>(file), {}};
    return file.is_open() && !file.bad() ? std::optional(std::move(data)) : std::nullopt;
}

}  // namespace dvsr
