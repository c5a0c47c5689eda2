#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dvsr {

/// What makes a TensorRT engine the right one, by the rules and in the words of
/// `runtime/plans/identity.py`.

/// A picture's size in pixels, written 1280x720.
struct Size {
    std::int64_t width_px = 0;
    std::int64_t height_px = 0;

    std::string text() const;
    std::int64_t pixels() const { return width_px * height_px; }

    /// The smallest size that holds this one in multiples of `multiple_px`.
    Size rounded_up(std::int64_t multiple_px) const;

    /// The size nearest to this one in the range from `low` to `high`, side by side.
    Size within(const Size& low, const Size& high) const;

    bool operator==(const Size& other) const {
        return width_px == other.width_px && height_px == other.height_px;
    }
};

/// Shapes (N, 3, H, W) of every picture input of one graph: smallest, tuned for, largest.
struct Profile {
    using Shape = std::array<std::int64_t, 4>;

    Shape min{};
    Shape opt{};
    Shape max{};

    static Size size(const Shape& shape) { return {shape[3], shape[2]}; }

    /// Whether it takes `batch` pictures of that size.
    bool serves(const Size& size, std::int64_t batch) const;

    /// How many pixels the size that it is tuned for is away from `size`.
    std::int64_t distance_px(const Size& size) const;

    /// The sizes and the batch, like "64x64 .. 64x64 .. 128x128, batch 1".
    std::string text() const;

    bool operator==(const Profile& other) const {
        return min == other.min && opt == other.opt && max == other.max;
    }
};

/// What else changes the engine that comes out; without a value the library's own choice.
struct PlanOptions {
    std::optional<std::int64_t> workspace_mib;
    std::optional<std::int64_t> optimization_level;
    bool tf32 = false;
    bool version_compatible = false;
    bool hardware_compatible = false;
    bool strip_weights = false;
    bool refit = false;
};

/// Everything that an engine depends on; two engines of one identity are interchangeable.
struct PlanIdentity {
    std::string graph;
    std::string graph_sha256;
    std::string library;
    std::string library_version;
    std::string device;                 ///< the GPU it was built on, or what it was built for
    std::vector<std::int64_t> targets;  ///< compute capabilities; none: the library's own choice
    std::string precision;
    std::vector<Profile> profiles;  ///< at least one
    PlanOptions options;

    /// 32 hexadecimal digits: the name of the engine's files.
    std::string key() const;
};

/// One GPU: its name and compute capability (sm; 8.6 is 86).
struct Gpu {
    std::string name;
    std::int64_t sm = 0;

    /// How an identity names it; plans are also bound to the host's platform.
    std::string text() const;
};

/// Read an identity; nothing where a member is missing, of another type or out of range.
std::optional<PlanIdentity> parse_identity(const nlohmann::json& value);

/// The parts in which `found` is not `wanted`, like "precision: it has float16, wanted is
/// float32"; empty for the same identity.
std::vector<std::string> differences(const PlanIdentity& found, const PlanIdentity& wanted);

/// `text` as one word of a shell's command line.
std::string shell_quoted(const std::string& text);

/// The command line that builds engines of this kind for the bundle as it is now.
std::string rebuild_command(const std::filesystem::path& bundle, const PlanIdentity& identity);

/// The profile that serves `batch` pictures of `size`: of several, the nearest tuned for. Throws
/// Error (engine), naming the nearest legal size and the command that builds one for this size.
std::size_t pick_profile(const std::filesystem::path& bundle, const PlanIdentity& identity,
                         const Size& size, std::int64_t batch, std::int64_t multiple_px);

}  // namespace dvsr
