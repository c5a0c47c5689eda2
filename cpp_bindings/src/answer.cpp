#include "answer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "dvsr/error.hpp"
#include "loop.hpp"
#include "placement.hpp"
#include "planes.hpp"
#include "turns.hpp"

namespace dvsr {
namespace {

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

/// Where the results of one run go.
struct Target {
    MutableImageView sharp;
    /// The memory for the spread, empty where none is wanted; asked for when what the samples took
    /// of the host's is free again.
    std::function<float*()> spread;
};

/// The picture by the engine's own loop; false where it has none, or the picture does not fit it.
bool run_whole(const Plan& plan, const ImageView& blurred, const Target& target,
               const Opened& opened, Timings& times) {
    auto* engine = dynamic_cast<LoopEngine*>(opened.engine.get());
    const bool want_spread = static_cast<bool>(target.spread);
    const LoopRequest request{blurred, &plan.table, plan.samples, plan.seed, want_spread};
    if (engine == nullptr || !engine->fits(request)) {
        return false;
    }
    const MutableImageView& sharp = target.sharp;
    float* spread = want_spread ? target.spread() : nullptr;
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

void run(const Plan& plan, const ImageView& blurred, const Target& target, const Opened& opened,
         Timings& times) {
    const Stopwatch watch(times.total_ms);
    if (run_whole(plan, blurred, target, opened, times)) {
        return;
    }
    const Manifest& manifest = opened.bundle.manifest;
    const Planes y = to_model(blurred, manifest.size_multiple_px);
    const Portion portion = portion_of(*opened.engine, manifest, plan.table, plan.samples, y,
                                       {opened.memory_mib, plan.held_bytes});
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
    if (target.spread) {
        write_spread(residual, y, blurred, target.spread());
    }
    from_model(guess, target.sharp);
}

void add(const Timings& part, Timings& times) {
    times.predictor_ms += part.predictor_ms;
    times.noise_ms += part.noise_ms;
    times.steps_ms += part.steps_ms;
}

/// The samples shared out among the turns of the picture: sample i is drawn on turn i modulo 8.
void run_turned(const Plan& plan, const ImageView& blurred, const Target& target,
                const Opened& opened, Timings& times) {
    const Stopwatch watch(times.total_ms);
    const std::int64_t multiple_px = opened.bundle.manifest.size_multiple_px;
    const std::int64_t row_samples = 3 * round_up(blurred.width_px, multiple_px);
    const std::int64_t size = row_samples * round_up(blurred.height_px, multiple_px);
    const bool want_spread = static_cast<bool>(target.spread);
    TurnedMean mean(static_cast<std::size_t>(size), want_spread);
    for (std::int64_t turn = 0; turn < std::min(kTurns, plan.samples); ++turn) {
        // Reflected anew for each turn, and its own result: the run has the more memory for it.
        auto picture = turned(reflected(blurred, multiple_px), turn);
        Raster<float> deviation(0, picture.width_px);
        Target part{
            {picture.values.data(), picture.height_px, picture.width_px, 3, 3 * picture.width_px},
            {}};
        if (want_spread) {
            part.spread = [&] {
                deviation = Raster<float>(picture.height_px, picture.width_px);
                return deviation.values.data();
            };
        }
        const std::int64_t count = (plan.samples - turn + kTurns - 1) / kTurns;
        Timings part_times;
        run({plan.table, count, plan.seed, false, 1.0, plan.held_bytes + size + mean.held_bytes()},
            {picture.values.data(), picture.height_px, picture.width_px, 3, 3 * picture.width_px},
            part, opened, part_times);
        add(part_times, times);
        mean.add(turned_back(picture, turn), turned_back(deviation, turn), count);
    }
    float* spread = want_spread ? target.spread() : nullptr;
    for (std::int64_t row = 0; row < blurred.height_px; ++row) {
        for (std::int64_t at = 0; at < 3 * blurred.width_px; ++at) {
            const auto index = static_cast<std::size_t>(row * row_samples + at);
            target.sharp.data[row * target.sharp.row_bytes + at] = mean.picture(index);
            if (want_spread) {
                *spread++ = mean.deviation(index);
            }
        }
    }
}

void run_once(const Plan& plan, const ImageView& blurred, const Target& target,
              const Opened& opened, Timings& times) {
    (plan.turns ? run_turned : run)(plan, blurred, target, opened, times);
}

/// The same, and what is changed in the picture multiplied by the plan's strength.
void run_stronger(const Plan& plan, const ImageView& blurred, const Target& target,
                  const Opened& opened, Timings& times) {
    const Stopwatch watch(times.total_ms);
    const MutableImageView& sharp = target.sharp;
    const std::int64_t row_samples = 3 * sharp.width_px;
    // Not into `sharp`, which may be the blurred picture.
    Raster<std::uint8_t> result(sharp.height_px, sharp.width_px);
    Plan held = plan;
    held.held_bytes += row_samples * sharp.height_px;
    Timings part;
    run_once(
        held, blurred,
        {{result.values.data(), result.height_px, result.width_px, 3, row_samples}, target.spread},
        opened, part);
    add(part, times);
    const std::uint8_t* found = result.values.data();
    for (std::int64_t row = 0; row < sharp.height_px; ++row) {
        const std::uint8_t* before = blurred.data + row * blurred.row_bytes;
        std::uint8_t* after = sharp.data + row * sharp.row_bytes;
        for (std::int64_t at = 0; at < row_samples; ++at) {
            const double from = before[at];
            const double stronger = from + plan.strength * (*found++ - from);
            after[at] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(stronger), 0.0, 255.0));
        }
    }
    if (target.spread) {
        float* spread = target.spread();
        for (std::int64_t at = 0; at < row_samples * sharp.height_px; ++at) {
            spread[at] *= static_cast<float>(plan.strength);
        }
    }
}

}  // namespace

Timings answer(const Plan& plan, const ImageView& blurred, const MutableImageView& sharp,
               float* spread, const Opened& opened) {
    Target target{sharp, {}};
    if (spread != nullptr) {
        target.spread = [=] { return spread; };
    }
    Timings times;
    (plan.strength == 1.0 ? run_once : run_stronger)(plan, blurred, target, opened, times);
    return times;
}

}  // namespace dvsr
