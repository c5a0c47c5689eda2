#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dvsr/error.hpp"
#include "dvsr/export.hpp"
#include "dvsr/image.hpp"

namespace dvsr {

/// How to deblur one picture; what is left out is decided by the preset.
struct Options {
    std::optional<std::int64_t> steps;    ///< 0: the predictor's picture alone
    std::optional<std::int64_t> samples;  ///< sampled pictures averaged, 1 to 1024
    std::uint64_t seed = 0;               ///< same seed, same picture
    std::optional<std::string> preset;    ///< a preset of the bundle; none: its default one
    /// Each of several samples is drawn on the picture turned another way, which brings their mean
    /// closer to the sharp picture.
    std::optional<bool> self_ensemble = std::nullopt;
    /// What is changed in the picture is multiplied by this, above 0 and at most 2.
    std::optional<double> strength = std::nullopt;
};

/// Milliseconds of one call by stage. `steps_ms` holds the step graphs without the noise.
struct Timings {
    double predictor_ms = 0.0;
    double noise_ms = 0.0;
    double steps_ms = 0.0;
    double total_ms = 0.0;
};

/// An opened bundle on an engine, for many pictures. `deblur` may be called from several threads.
class DVSR_API Session {
public:
    /// Open `bundle`: a directory, the name of a shipped bundle, or empty for the default one.
    /// `engine` is "auto" or one of `engines()`. `memory_mib` bounds what one call may take beyond
    /// what the process holds already (none: most of what the machine has free); a picture that
    /// needs more is cut into tiles that are blended at every step. Throws `Error` (bundle,
    /// engine, option).
    explicit Session(const std::filesystem::path& bundle, const std::string& engine = "auto",
                     std::optional<std::int64_t> memory_mib = std::nullopt);
    ~Session();
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;

    /// Deblur uint8 RGB of any size. Throws `Error` (image, option, engine).
    Image deblur(const ImageView& blurred, const Options& options = {}) const;

    /// The same into memory of the caller, of the size of `blurred`; the two may be one picture.
    /// `spread`, unless null, gets the standard deviation of the samples in grey levels,
    /// float (height_px, width_px, 3).
    void deblur(const ImageView& blurred, const MutableImageView& sharp,
                const Options& options = {}, float* spread = nullptr) const;

    /// What runs the graphs: name, library, version, device.
    const std::string& engine() const;

    /// The bundle's name as its manifest has it.
    const std::string& bundle_name() const;

    /// The names of the bundle's presets, sorted.
    std::vector<std::string> presets() const;

    /// The times of the call that ended last.
    Timings timings() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The engines built into this library, without "auto".
DVSR_API std::vector<std::string> engines();

/// The version of this library.
DVSR_API const char* version();

}  // namespace dvsr
