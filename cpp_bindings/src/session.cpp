#include "dvsr/session.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <mutex>
#include <new>

#include "bundle.hpp"
#include "engine.hpp"
#include "loop.hpp"
#include "noise_fields.hpp"
#include "placement.hpp"
#include "planes.hpp"
#include "turns.hpp"

namespace dvsr {
namespace {

constexpr std::int64_t kMaxSamples = 1024;
// Sides beyond this cannot be held in memory, and their products would not fit an integer.
constexpr std::int64_t kMaxSidePx = 1 << 20;
constexpr std::int64_t kMaxBudgetMib = std::int64_t{1} << 40;

/// Adds the milliseconds of its life to a stage.
class Stopwatch {
public:
    explicit Stopwatch(double& stage_ms) : stage_ms_(stage_ms) {}
    ~Stopwatch() {
        stage_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - began_).count();
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

private:
    using Clock = std::chrono::steady_clock;
    double& stage_ms_;
    Clock::time_point began_ = Clock::now();
};

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

/// What one call computes, decided from options and bundle before any work.
struct Plan {
    const Table& table;
    std::int64_t samples;
    std::uint64_t seed;
    bool turns;  ///< the picture is turned another way for each sample
};

Plan make_plan(const Bundle& bundle, const Options& options) {
    const std::string& name = bundle.preset_name(options.preset ? &*options.preset : nullptr);
    const Table& table = bundle.table(name, options.steps ? &*options.steps : nullptr);
    const Preset& preset = bundle.presets.at(name);
    const std::int64_t samples = checked_samples(options.samples.value_or(preset.samples));
    const bool turns = samples > 1 && options.self_ensemble.value_or(preset.self_ensemble);
    return {table, samples, options.seed, turns};
}

/// The residuals' moments, `at_once` samples in each batch; without steps the residual is zero for
/// sure.
Moments sample(const Plan& plan, const Planes& y, Engine& engine, std::int64_t at_once,
               NoiseFields& fields, Timings& times) {
    Moments moments(y.values.size());
    if (plan.table.rows.empty()) {
        moments.add(zeros_like(y).values.data());
        return moments;
    }
    for (std::int64_t first = 0; first < plan.samples; first += at_once) {
        const Stopwatch watch(times.steps_ms);
        const std::int64_t count = std::min(at_once, plan.samples - first);
        std::shared_ptr<const Planes> field;  // until the next is asked for
        const Noise noise = [&](std::uint32_t step) -> const Planes& {
            const Stopwatch inner(times.noise_ms);
            field = fields.field({plan.seed, static_cast<std::uint32_t>(first), step, y.height_px,
                                  y.width_px, count});
            return *field;
        };
        const Planes residuals = sample_residual(plan.table, repeated(y, count), engine, noise);
        for (std::int64_t index = 0; index < count; ++index) {
            moments.add(residuals.picture(index));
        }
    }
    times.steps_ms -= times.noise_ms;
    return moments;
}

void check_finite(const Planes& x) {
    unsigned others = 0;  // whole numbers, which the compiler may add in any order
    for (const float value : x.values) {
        others |= value - value == 0.0F ? 0U : 1U;
    }
    if (others != 0) {
        throw Error(ErrorKind::engine,
                    "the network returned numbers that are not finite; its weights are damaged or "
                    "its precision is too low: run python -m export.check on the bundle, export it "
                    "again, in float32 if it was float16, or name another engine");
    }
}

/// Half the model's range is 127.5 grey levels.
void write_spread(const Moments& moments, const Planes& y, const ImageView& image, float* spread) {
    for (std::int64_t row = 0; row < image.height_px; ++row) {
        for (std::int64_t column = 0; column < image.width_px; ++column) {
            for (std::int64_t channel = 0; channel < Planes::kChannels; ++channel) {
                const std::int64_t at = (channel * y.height_px + row) * y.width_px + column;
                *spread++ = 127.5F * moments.deviation(static_cast<std::size_t>(at));
            }
        }
    }
}

/// What a session holds and no call changes.
struct Opened {
    Bundle bundle;
    std::optional<std::int64_t> memory_mib;
    std::unique_ptr<Engine> engine;
    std::unique_ptr<NoiseFields> fields;
    std::string engine_name;
};

/// The picture by the engine's own loop; false where it has none, or the picture does not fit it.
bool run_whole(const Plan& plan, const ImageView& blurred, const MutableImageView& sharp,
               float* spread, const Opened& opened, Timings& times) {
    auto* engine = dynamic_cast<LoopEngine*>(opened.engine.get());
    const LoopRequest request{blurred, &plan.table, plan.samples, plan.seed, spread != nullptr};
    if (engine == nullptr || !engine->fits(request)) {
        return false;
    }
    const std::int64_t row_bytes = 3 * sharp.width_px;
    if (sharp.row_bytes == row_bytes) {
        times = engine->run(request, sharp.data, spread);
        return true;
    }
    std::vector<std::uint8_t> picture(static_cast<std::size_t>(row_bytes * sharp.height_px));
    times = engine->run(request, picture.data(), spread);
    for (std::int64_t row = 0; row < sharp.height_px; ++row) {
        std::copy_n(picture.data() + row * row_bytes, row_bytes,
                    sharp.data + row * sharp.row_bytes);
    }
    return true;
}

void run(const Plan& plan, const ImageView& blurred, const MutableImageView& sharp, float* spread,
         const Opened& opened, Timings& times) {
    const Stopwatch watch(times.total_ms);
    if (run_whole(plan, blurred, sharp, spread, opened, times)) {
        return;
    }
    const Manifest& manifest = opened.bundle.manifest;
    const Planes y = to_model(blurred, manifest.size_multiple_px);
    const Portion portion =
        portion_of(*opened.engine, manifest, plan.table, plan.samples, y, opened.memory_mib);
    const auto tiled = tiled_to_fit(*opened.engine, manifest, portion, y);
    Engine& engine = tiled ? *tiled : *opened.engine;
    Planes guess(y.height_px, y.width_px);
    {
        const Stopwatch inner(times.predictor_ms);
        engine.predict(y, guess);
    }
    const Moments residual = sample(plan, y, engine, portion.samples, *opened.fields, times);
    for (std::size_t at = 0; at < guess.values.size(); ++at) {
        guess.values[at] += residual.mean()[at];
    }
    check_finite(guess);
    if (spread != nullptr) {
        write_spread(residual, y, blurred, spread);
    }
    from_model(guess, sharp);
}

void add(const Timings& part, Timings& times) {
    times.predictor_ms += part.predictor_ms;
    times.noise_ms += part.noise_ms;
    times.steps_ms += part.steps_ms;
}

/// The samples shared out among the turns of the picture: sample i is drawn on turn i modulo 8.
void run_turned(const Plan& plan, const ImageView& blurred, const MutableImageView& sharp,
                float* spread, const Opened& opened, Timings& times) {
    const Stopwatch watch(times.total_ms);
    const auto whole = reflected(blurred, opened.bundle.manifest.size_multiple_px);
    TurnedMean mean(whole.values.size(), spread != nullptr);
    for (std::int64_t turn = 0; turn < std::min(kTurns, plan.samples); ++turn) {
        const auto from = turned(whole, turn);
        Raster<std::uint8_t> to(from.height_px, from.width_px);
        Raster<float> deviation(spread == nullptr ? 0 : from.height_px, from.width_px);
        const std::int64_t count = (plan.samples - turn + kTurns - 1) / kTurns;
        Timings part;
        run({plan.table, count, plan.seed, false},
            {from.values.data(), from.height_px, from.width_px, 3, 3 * from.width_px},
            {to.values.data(), to.height_px, to.width_px, 3, 3 * to.width_px},
            spread == nullptr ? nullptr : deviation.values.data(), opened, part);
        add(part, times);
        mean.add(turned_back(to, turn), turned_back(deviation, turn), count);
    }
    for (std::int64_t row = 0; row < blurred.height_px; ++row) {
        const auto first = static_cast<std::size_t>(3 * row * whole.width_px);
        for (std::int64_t at = 0; at < 3 * blurred.width_px; ++at) {
            const std::size_t index = first + static_cast<std::size_t>(at);
            sharp.data[row * sharp.row_bytes + at] = mean.picture(index);
            if (spread != nullptr) {
                *spread++ = mean.deviation(index);
            }
        }
    }
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
        (plan.turns ? run_turned : run)(plan, from, to, spread, state_->opened, times);
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
