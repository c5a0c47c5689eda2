#include "tensorrt/plan_identity.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "dvsr/error.hpp"
#include "sha256.hpp"

namespace dvsr {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kKeyDigits = 32;
constexpr std::size_t kShownDigits = 12;
constexpr std::size_t kSha256Digits = 64;
// Far beyond any profile; the product of a shape stays within an integer.
constexpr std::int64_t kMaxBatch = 1 << 16;
constexpr std::int64_t kMaxSidePx = 1 << 20;

/// Names and values of the options, in the order of Python's struct.
std::vector<std::pair<std::string, ordered_json>> entries(const PlanOptions& options) {
    const auto number = [](const std::optional<std::int64_t>& value) {
        return value ? ordered_json(*value) : ordered_json(nullptr);
    };
    return {{"workspace_mib", number(options.workspace_mib)},
            {"optimization_level", number(options.optimization_level)},
            {"tf32", options.tf32},
            {"version_compatible", options.version_compatible},
            {"hardware_compatible", options.hardware_compatible},
            {"strip_weights", options.strip_weights},
            {"refit", options.refit}};
}

std::string flag(std::string name) {
    if (name == "workspace_mib") {
        return "--workspace";
    }
    std::replace(name.begin(), name.end(), '_', '-');
    return "--" + name;
}

std::string show(const ordered_json& value) {
    if (value.is_null()) {
        return "the library's own";
    }
    return value.is_boolean() ? (value.get<bool>() ? "True" : "False") : value.dump();
}

std::string show(const std::string& text) {
    // A checksum's first digits tell it from any other.
    return text.size() == kSha256Digits ? text.substr(0, kShownDigits) : text;
}

template <typename Item, typename Text>
std::string joined(const std::vector<Item>& items, const char* between, const Text& text) {
    std::string all;
    for (const Item& item : items) {
        all += (all.empty() ? "" : between) + text(item);
    }
    return all;
}

std::string show(const std::vector<Profile>& profiles) {
    return joined(profiles, " and ", [](const Profile& profile) { return profile.text(); });
}

std::string counts(const Profile& profile) {
    const std::string low = std::to_string(profile.min[0]), high = std::to_string(profile.max[0]);
    return low == high ? high : low + ":" + std::to_string(profile.opt[0]) + ":" + high;
}

template <typename Part>
void compare(std::vector<std::string>& apart, const std::string& name, const Part& found,
             const Part& wanted) {
    if (!(found == wanted)) {
        apart.push_back(name + ": it has " + show(found) + ", wanted is " + show(wanted));
    }
}

std::string sizes_words(const Profile& profile) {
    const Size low = Profile::size(profile.min), high = Profile::size(profile.max);
    if (low == high) {
        return " --pin " + high.text();
    }
    return " --min " + low.text() + " --opt " + Profile::size(profile.opt).text() + " --max " +
           high.text();
}

std::string batch_words(const PlanIdentity& identity) {
    const Profile& first = identity.profiles.front();
    if (first.min[0] == 1 && first.opt[0] == 1 && first.max[0] == 1) {
        return "";
    }
    return (identity.graph == "step" ? " --samples " : " --pictures ") + counts(first);
}

PlanIdentity widened(PlanIdentity identity, const Size& size, std::int64_t batch) {
    Profile& first = identity.profiles.front();
    const Profile::Shape shape{batch, 3, size.height_px, size.width_px};
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        first.min[axis] = std::min(first.min[axis], shape[axis]);
        first.max[axis] = std::max(first.max[axis], shape[axis]);
    }
    return identity;
}

struct Malformed {};

std::int64_t whole(const json& value, std::int64_t low, std::int64_t high) {
    if (!value.is_number_integer() || value < low || value > high) {
        throw Malformed{};
    }
    return value.get<std::int64_t>();
}

std::optional<std::int64_t> optional_whole(const json& options, const char* name) {
    if (!options.contains(name) || options[name].is_null()) {
        return std::nullopt;
    }
    return whole(options[name], 0, std::int64_t{1} << 40);
}

Profile::Shape shape_of(const json& value) {
    if (!value.is_array() || value.size() != 4) {
        throw Malformed{};
    }
    return {whole(value[0], 1, kMaxBatch), whole(value[1], 1, 3), whole(value[2], 1, kMaxSidePx),
            whole(value[3], 1, kMaxSidePx)};
}

PlanOptions options_of(const json& value) {
    if (!value.is_object()) {
        throw Malformed{};
    }
    PlanOptions options;
    options.workspace_mib = optional_whole(value, "workspace_mib");
    options.optimization_level = optional_whole(value, "optimization_level");
    options.tf32 = value.value("tf32", false);
    options.version_compatible = value.value("version_compatible", false);
    options.hardware_compatible = value.value("hardware_compatible", false);
    options.strip_weights = value.value("strip_weights", false);
    options.refit = value.value("refit", false);
    return options;
}

ordered_json to_json(const PlanIdentity& identity) {
    ordered_json profiles = ordered_json::array();
    for (const Profile& profile : identity.profiles) {
        profiles.push_back({{"min", profile.min}, {"opt", profile.opt}, {"max", profile.max}});
    }
    ordered_json options = ordered_json::object();
    for (const auto& [name, value] : entries(identity.options)) {
        options[name] = value;
    }
    return {{"graph", identity.graph},
            {"graph_sha256", identity.graph_sha256},
            {"library", identity.library},
            {"library_version", identity.library_version},
            {"device", identity.device},
            {"targets", identity.targets},
            {"precision", identity.precision},
            {"profiles", profiles},
            {"options", options}};
}

}  // namespace

std::string Size::text() const {
    return std::to_string(width_px) + "x" + std::to_string(height_px);
}

Size Size::rounded_up(std::int64_t multiple_px) const {
    const auto up = [&](std::int64_t side) {
        return (side + multiple_px - 1) / multiple_px * multiple_px;
    };
    return {up(width_px), up(height_px)};
}

Size Size::within(const Size& low, const Size& high) const {
    return {std::min(std::max(width_px, low.width_px), high.width_px),
            std::min(std::max(height_px, low.height_px), high.height_px)};
}

bool Profile::serves(const Size& size, std::int64_t batch) const {
    return size.within(Profile::size(min), Profile::size(max)) == size && min[0] <= batch &&
           batch <= max[0];
}

std::int64_t Profile::distance_px(const Size& other) const {
    return std::abs(size(opt).pixels() - other.pixels());
}

std::string Profile::text() const {
    const Size low = size(min), high = size(max);
    const std::string sizes =
        low == high ? high.text() : low.text() + " .. " + size(opt).text() + " .. " + high.text();
    return sizes + ", batch " + counts(*this);
}

std::string PlanIdentity::key() const {
    return sha256(to_json(*this).dump()).substr(0, kKeyDigits);
}

std::string Gpu::text() const {
    utsname host{};
    uname(&host);
    return name + " (sm" + std::to_string(sm) + ", " + host.sysname + " " + host.machine + ")";
}

std::optional<PlanIdentity> parse_identity(const json& value) {
    try {
        PlanIdentity identity;
        identity.graph = value.at("graph").get<std::string>();
        identity.graph_sha256 = value.at("graph_sha256").get<std::string>();
        identity.library = value.at("library").get<std::string>();
        identity.library_version = value.at("library_version").get<std::string>();
        identity.device = value.at("device").get<std::string>();
        identity.precision = value.at("precision").get<std::string>();
        for (const json& target : value.at("targets")) {
            identity.targets.push_back(whole(target, 1, kMaxSidePx));
        }
        for (const json& profile : value.at("profiles")) {
            identity.profiles.push_back({shape_of(profile.at("min")), shape_of(profile.at("opt")),
                                         shape_of(profile.at("max"))});
        }
        identity.options = options_of(value.at("options"));
        return identity.profiles.empty() ? std::nullopt : std::optional(identity);
    } catch (const json::exception&) {
        return std::nullopt;
    } catch (const Malformed&) {
        return std::nullopt;
    }
}

std::vector<std::string> differences(const PlanIdentity& found, const PlanIdentity& wanted) {
    std::vector<std::string> apart;
    compare(apart, "graph", found.graph, wanted.graph);
    compare(apart, "graph sha256", found.graph_sha256, wanted.graph_sha256);
    compare(apart, "library", found.library, wanted.library);
    compare(apart, "library version", found.library_version, wanted.library_version);
    compare(apart, "device", found.device, wanted.device);
    compare(apart, "precision", found.precision, wanted.precision);
    compare(apart, "profiles", found.profiles, wanted.profiles);
    const auto ours = entries(found.options), theirs = entries(wanted.options);
    for (std::size_t at = 0; at < ours.size(); ++at) {
        compare(apart, "option " + flag(ours[at].first), ours[at].second, theirs[at].second);
    }
    return apart;
}

std::string shell_quoted(const std::string& text) {
    constexpr char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (!text.empty() && text.find_first_not_of(safe) == std::string::npos) {
        return text;
    }
    std::string quoted = "'";
    for (const char letter : text) {
        quoted += letter == '\'' ? "'\"'\"'" : std::string(1, letter);
    }
    return quoted + "'";
}

std::string rebuild_command(const std::filesystem::path& bundle, const PlanIdentity& identity) {
    std::string words =
        "python -m export.trt " + shell_quoted(bundle.string()) + " --library " + identity.library;
    if (!identity.targets.empty()) {
        words += " --target " + joined(identity.targets, ",",
                                       [](std::int64_t sm) { return "sm" + std::to_string(sm); });
    }
    for (const Profile& profile : identity.profiles) {
        words += sizes_words(profile);
    }
    words += batch_words(identity);
    for (const auto& [name, value] : entries(identity.options)) {
        if (!value.is_null() && value != false) {
            words += " " + flag(name) + (value == true ? "" : " " + value.dump());
        }
    }
    return words;
}

std::size_t pick_profile(const std::filesystem::path& bundle, const PlanIdentity& identity,
                         const Size& size, std::int64_t batch, std::int64_t multiple_px) {
    const Size legal = size.rounded_up(multiple_px);
    if (!(legal == size)) {
        throw Error(ErrorKind::engine, "got size " + size.text() +
                                           "; this model takes multiples of " +
                                           std::to_string(multiple_px) +
                                           " on both sides: pad the picture to " + legal.text());
    }
    std::optional<std::size_t> best;
    Size nearest;
    for (std::size_t at = 0; at < identity.profiles.size(); ++at) {
        const Profile& profile = identity.profiles[at];
        const bool closer =
            !best || profile.distance_px(size) < identity.profiles[*best].distance_px(size);
        if (profile.serves(size, batch) && closer) {
            best = at;
        }
        const Size near = size.within(Profile::size(profile.min), Profile::size(profile.max));
        const auto far = [&](const Size& other) {
            return std::abs(other.pixels() - size.pixels());
        };
        if (at == 0 || far(near) < far(nearest)) {
            nearest = near;
        }
    }
    if (best) {
        return *best;
    }
    throw Error(ErrorKind::engine,
                "got " + std::to_string(batch) + " x " + size.text() + " for the " +
                    identity.graph + "; its engine takes " + show(identity.profiles) +
                    "; the nearest legal size is " + nearest.text() + "; to build one for " +
                    size.text() +
                    " too: " + rebuild_command(bundle, widened(identity, size, batch)));
}

}  // namespace dvsr
