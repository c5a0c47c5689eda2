#include "dvsr/session.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <new>

#include "answer.hpp"
#include "tiles.hpp"

namespace dvsr {
namespace {

constexpr std::int64_t kMaxSamples = 1024;
// Sides beyond this cannot be held in memory, and their products would not fit an integer.
constexpr std::int64_t kMaxSidePx = 1 << 20;
constexpr std::int64_t kMaxBudgetMib = std::int64_t{1} << 40;

template <typename View>
std::string shape_text(const View& view) {
    return "(" + std::to_string(view.height_px) + ", " + std::to_string(view.width_px) + ", " +
           std::to_string(view.channels) + ")";
}

template <typename View>
std::string how_to_convert(const View& view) {
    if (view.height_px < 1 || view.width_px < 1) {
        return "An empty picture has nothing to deblur.";
    }
    if (view.channels == 1) {
        return "For grayscale, give each sample three times.";
    }
    if (view.channels == 4) {
        return "For RGBA, leave the alpha out and keep it aside.";
    }
    return "Convert it first.";
}

/// `view` with its row length filled in, or Error (image); `role` follows what came.
template <typename View>
View checked(View view, const std::string& role) {
    const auto refuse = [&](const std::string& came, const std::string& wanted) {
        throw Error(ErrorKind::image, "got " + came + role + "; wanted " + wanted);
    };
    if (view.channels != 3 || view.height_px < 1 || view.width_px < 1) {
        refuse("uint8 " + shape_text(view),
               "is uint8 RGB of shape (H, W, 3). " + how_to_convert(view));
    }
    if (view.data == nullptr) {
        refuse("null", "is a pointer to uint8 RGB samples");
    }
    if (view.height_px > kMaxSidePx || view.width_px > kMaxSidePx) {
        refuse("uint8 " + shape_text(view),
               "are sides of at most " + std::to_string(kMaxSidePx) + " px: cut it into tiles");
    }
    if (view.row_bytes == 0) {
        view.row_bytes = 3 * view.width_px;
    }
    if (view.row_bytes < 3 * view.width_px) {
        refuse("rows of " + std::to_string(view.row_bytes) + " bytes",
               "are at least " + std::to_string(3 * view.width_px) + " for " +
                   std::to_string(view.width_px) + " px");
    }
    return view;
}

std::int64_t checked_samples(std::int64_t samples) {
    if (samples < 1 || samples > kMaxSamples) {
        throw Error(ErrorKind::option, "got " + std::to_string(samples) +
                                           " samples; wanted are 1 to " +
                                           std::to_string(kMaxSamples));
    }
    return samples;
}

std::int64_t checked_budget_mib(std::int64_t memory_mib) {
    if (memory_mib < 1) {
        throw Error(ErrorKind::option, "got memory_mib " + std::to_string(memory_mib) +
                                           "; wanted is at least 1, or None");
    }
    return std::min(memory_mib, kMaxBudgetMib);
}

Plan make_plan(const Bundle& bundle, const Options& options) {
    const std::string& name = bundle.preset_name(options.preset ? &*options.preset : nullptr);
    const Table& table = bundle.table(name, options.steps ? &*options.steps : nullptr);
    const Preset& preset = bundle.presets.at(name);
    const std::int64_t samples = checked_samples(options.samples.value_or(preset.samples));
    const bool turns = samples > 1 && options.self_ensemble.value_or(preset.self_ensemble);
    const double strength = checked_strength(options.strength.value_or(preset.strength));
    return {table, samples, options.seed, turns, strength};
}

}  // namespace

struct Session::State {
    Opened opened;
    std::mutex times_guard;
    Timings times;
};

Session::Session(const std::filesystem::path& bundle, const std::string& engine,
                 std::optional<std::int64_t> memory_mib)
    : state_(std::make_unique<State>()) {
    Opened& opened = state_->opened;
    if (memory_mib) {
        opened.memory_mib = checked_budget_mib(*memory_mib);
    }
    opened.bundle = open_bundle(bundle);
    opened.engine = open_engine(engine, opened.bundle, opened.memory_mib);
    opened.fields = std::make_unique<NoiseFields>(kept_bytes(
        memory_mib ? *opened.memory_mib << 20 : std::numeric_limits<std::int64_t>::max()));
    opened.engine_name = opened.engine->name();
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Image Session::deblur(const ImageView& blurred, const Options& options) const {
    const ImageView view = checked(blurred, "");
    Image sharp{view.height_px, view.width_px, {}};
    sharp.samples.resize(static_cast<std::size_t>(3 * view.height_px * view.width_px));
    deblur(view, {sharp.samples.data(), sharp.height_px, sharp.width_px}, options);
    return sharp;
}

void Session::deblur(const ImageView& blurred, const MutableImageView& sharp,
                     const Options& options, float* spread) const {
    const ImageView from = checked(blurred, "");
    const MutableImageView to = checked(sharp, " for the result");
    if (from.height_px != to.height_px || from.width_px != to.width_px) {
        throw Error(ErrorKind::image, "got uint8 " + shape_text(to) +
                                          " for the result; wanted is the picture's shape " +
                                          shape_text(from));
    }
    const Plan plan = make_plan(state_->opened.bundle, options);
    Timings times;
    try {
        times = answer(plan, from, to, spread, state_->opened);
    } catch (const std::bad_alloc&) {
        throw Error(ErrorKind::engine, "not enough memory for uint8 " + shape_text(from) +
                                           "; give a smaller memory_mib, which cuts it into tiles");
    }
    const std::lock_guard<std::mutex> lock(state_->times_guard);
    state_->times = times;
}

const std::string& Session::engine() const { return state_->opened.engine_name; }

const std::string& Session::bundle_name() const { return state_->opened.bundle.manifest.name; }

std::vector<std::string> Session::presets() const {
    std::vector<std::string> names;
    for (const auto& entry : state_->opened.bundle.presets) {
        names.push_back(entry.first);
    }
    return names;
}

Timings Session::timings() const {
    const std::lock_guard<std::mutex> lock(state_->times_guard);
    return state_->times;
}

std::vector<std::string> engines() { return engine_names(); }

const char* version() { return DVSR_VERSION; }

}  // namespace dvsr
