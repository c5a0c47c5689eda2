#include "tiles.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#include "dvsr/error.hpp"

namespace dvsr {
namespace {

constexpr std::int64_t kMib = std::int64_t{1} << 20;
constexpr double kShareOfFreeMemory = 0.8;
// Float pictures of three channels that Python's loop holds beside the engine. This loop holds
// fewer; with the same number both languages cut the same tiles.
constexpr std::int64_t kLoopBytesPerPx = 12 * 3 * 4;
constexpr std::int64_t kKeptBytes = std::int64_t{128} << 20;
constexpr std::int64_t kKeptShare = 8;

// In multiples of the bundle's size rule: with an overlap of a quarter on both sides, a tile of one
// would have no middle left to advance by.
constexpr std::int64_t kSmallestTile = 2;

std::int64_t least_overlap(const std::vector<std::int64_t>& starts, std::int64_t tile) {
    std::int64_t least = tile;
    for (std::size_t at = 1; at < starts.size(); ++at) {
        least = std::min(least, tile - (starts[at] - starts[at - 1]));
    }
    return least;
}

std::vector<std::int64_t> spread_evenly(std::int64_t count, std::int64_t extent,
                                        const TileRule& rule) {
    std::vector<std::int64_t> starts;
    for (std::int64_t at = 0; at < count; ++at) {
        const double ideal =
            static_cast<double>(at * (extent - rule.tile_px)) / static_cast<double>(count - 1);
        starts.push_back(static_cast<std::int64_t>(ideal) / rule.multiple_px * rule.multiple_px);
    }
    starts.back() = extent - rule.tile_px;
    return starts;
}

std::vector<std::int64_t> tile_starts(std::int64_t extent, const TileRule& rule) {
    if (extent <= rule.tile_px) {
        return {0};
    }
    const std::int64_t advance = rule.tile_px - rule.overlap_px;
    for (std::int64_t count = (extent - rule.overlap_px + advance - 1) / advance;; ++count) {
        // Neighbours share as much as the number of tiles allows.
        std::vector<std::int64_t> starts = spread_evenly(count, extent, rule);
        if (least_overlap(starts, rule.tile_px) >= rule.overlap_px) {
            return starts;
        }
    }
}

/// Rise from 0 to 1 in the middle half of the `shared` pixels; the outermost quarter gets no
/// weight: what a network makes of a tile's edge is worst there.
double ramp(std::int64_t at, std::int64_t shared) {
    const double position =
        (static_cast<double>(at) + 0.5) / static_cast<double>(std::max<std::int64_t>(shared, 1));
    return std::clamp(2.0 * position - 0.5, 1e-6, 1.0);
}

std::vector<Span> make_spans(std::int64_t extent, const TileRule& rule) {
    const std::vector<std::int64_t> starts = tile_starts(extent, rule);
    const std::int64_t length = std::min(rule.tile_px, extent);
    std::vector<std::vector<double>> raw;
    std::vector<double> total(static_cast<std::size_t>(extent));
    for (std::size_t index = 0; index < starts.size(); ++index) {
        std::vector<double> weights(static_cast<std::size_t>(length), 1.0);
        for (std::int64_t at = 0; at < length; ++at) {
            double& weight = weights[static_cast<std::size_t>(at)];
            if (index > 0) {
                weight *= ramp(at, starts[index - 1] + length - starts[index]);
            }
            if (index + 1 < starts.size()) {
                weight *= ramp(length - 1 - at, starts[index] + length - starts[index + 1]);
            }
            total[static_cast<std::size_t>(starts[index] + at)] += weight;
        }
        raw.push_back(std::move(weights));
    }
    std::vector<Span> spans;
    for (std::size_t index = 0; index < starts.size(); ++index) {
        Span span{starts[index], {}};
        for (std::size_t at = 0; at < raw[index].size(); ++at) {
            const double sum = total[static_cast<std::size_t>(starts[index]) + at];
            span.weights.push_back(static_cast<float>(raw[index][at] / sum));
        }
        spans.push_back(std::move(span));
    }
    return spans;
}

std::int64_t free_bytes() {
    std::ifstream lines("/proc/meminfo");
    for (std::string name; lines >> name;) {
        std::int64_t kib = 0;
        if (name == "MemAvailable:" && lines >> kib) {
            return kib * 1024;
        }
        lines.ignore(256, '\n');
    }
    // Not Linux: what is free now, without what the cache would give up.
    return std::int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

class TiledEngine final : public Engine {
public:
    TiledEngine(Engine& inner, TilePlan plan) : inner_(inner), plan_(std::move(plan)) {}

    std::string name() const override {
        return inner_.name() + ", " + std::to_string(plan_.rows.size() * plan_.columns.size()) +
               " tiles";
    }

    void predict(const Planes& y, Planes& guess) override {
        const Planes like = tile();
        Planes cut = like, output = like;
        each_tile(
            [&](const Span& row, const Span& column) {
                copy(y, row, column, cut);
                inner_.predict(cut, output);
                add(output, row, column, guess);
            },
            {&guess});
    }

    void step(const Planes& z, const Planes& y, const Planes& noise, const Planes& previous,
              const FloatRow& numbers, Planes& z_next, Planes& residual) override {
        const Planes like = tile();
        Planes cut_z = like, cut_y = like, cut_noise = like, cut_previous = like;
        Planes next = like, estimate = like;
        each_tile(
            [&](const Span& row, const Span& column) {
                copy(z, row, column, cut_z);
                copy(y, row, column, cut_y);
                copy(noise, row, column, cut_noise);
                copy(previous, row, column, cut_previous);
                inner_.step(cut_z, cut_y, cut_noise, cut_previous, numbers, next, estimate);
                add(next, row, column, z_next);
                add(estimate, row, column, residual);
            },
            {&z_next, &residual});
    }

private:
    /// All tiles of a plan have one size.
    Planes tile() const {
        return Planes(plan_.rows.front().length_px(), plan_.columns.front().length_px());
    }

    template <typename Work>
    void each_tile(const Work& work, std::initializer_list<Planes*> sums) const {
        for (Planes* sum : sums) {
            std::fill(sum->values.begin(), sum->values.end(), 0.0F);
        }
        for (const Span& row : plan_.rows) {
            for (const Span& column : plan_.columns) {
                work(row, column);
            }
        }
    }

    static void copy(const Planes& whole, const Span& row, const Span& column, Planes& cut) {
        float* target = cut.values.data();
        for (std::int64_t channel = 0; channel < Planes::kChannels; ++channel) {
            for (std::int64_t line = 0; line < row.length_px(); ++line) {
                const float* source = whole.at(channel, row.start_px + line, column.start_px);
                target = std::copy_n(source, column.weights.size(), target);
            }
        }
    }

    /// Add `output`, weighted, to its place in `sum`.
    static void add(const Planes& output, const Span& row, const Span& column, Planes& sum) {
        const float* source = output.values.data();
        for (std::int64_t channel = 0; channel < Planes::kChannels; ++channel) {
            for (std::int64_t line = 0; line < row.length_px(); ++line) {
                float* target = sum.at(channel, row.start_px + line, column.start_px);
                const float weight = row.weights[static_cast<std::size_t>(line)];
                for (const float share : column.weights) {
                    *target++ += weight * share * *source++;
                }
            }
        }
    }

    Engine& inner_;
    TilePlan plan_;
};

}  // namespace

TilePlan plan_tiles(std::int64_t height_px, std::int64_t width_px, const TileRule& rule) {
    const std::int64_t smallest = 2 * rule.overlap_px + rule.multiple_px;
    if (rule.tile_px % rule.multiple_px != 0 || rule.tile_px < smallest) {
        throw Error(ErrorKind::option,
                    "got tiles of " + std::to_string(rule.tile_px) + " px with an overlap of " +
                        std::to_string(rule.overlap_px) + " px; wanted is a multiple of " +
                        std::to_string(rule.multiple_px) + " of at least " +
                        std::to_string(smallest));
    }
    return {make_spans(height_px, rule), make_spans(width_px, rule)};
}

std::int64_t kept_bytes(std::int64_t budget_bytes) {
    return std::min(kKeptBytes, budget_bytes / kKeptShare);
}

std::optional<std::int64_t> tile_side_px(std::int64_t budget_bytes, std::int64_t height_px,
                                         std::int64_t width_px, std::int64_t bytes_per_px,
                                         std::int64_t multiple_px, std::int64_t held_bytes) {
    const std::int64_t pixels = height_px * width_px;
    const std::int64_t own = held_bytes + pixels * kLoopBytesPerPx;
    const std::int64_t left = budget_bytes - own;
    if (left >= pixels * bytes_per_px) {
        return std::nullopt;
    }
    const double area_px =
        static_cast<double>(std::max<std::int64_t>(left, 0)) / static_cast<double>(bytes_per_px);
    // Python's power, which need not round as a square root does.
    const auto side = static_cast<std::int64_t>(std::pow(area_px, 0.5));
    const std::int64_t whole = side / multiple_px * multiple_px;
    const std::int64_t least = kSmallestTile * multiple_px;
    if (whole < least) {
        const std::int64_t smallest = own + least * least * bytes_per_px;
        const std::int64_t stated = smallest + std::min(kKeptBytes, smallest / (kKeptShare - 1));
        throw Error(ErrorKind::option, "the memory is too small for " + std::to_string(width_px) +
                                           "x" + std::to_string(height_px) +
                                           " px; wanted are at least " +
                                           std::to_string((stated + kMib - 1) / kMib) +
                                           " MiB: raise it or make the picture smaller");
    }
    return whole;
}

Portion portion_that_fits(std::int64_t budget_bytes, std::int64_t samples, std::int64_t height_px,
                          std::int64_t width_px, std::int64_t bytes_per_px,
                          std::int64_t multiple_px, std::int64_t held_bytes) {
    const std::int64_t unheld = std::max<std::int64_t>(budget_bytes - held_bytes, 0);
    const std::int64_t fitting = unheld / (height_px * width_px * (kLoopBytesPerPx + bytes_per_px));
    if (fitting >= 1) {
        return {std::min(samples, fitting), std::nullopt};
    }
    return {1,
            tile_side_px(budget_bytes, height_px, width_px, bytes_per_px, multiple_px, held_bytes)};
}

std::optional<std::int64_t> tile_side_px(
    const std::function<bool(std::int64_t, std::int64_t)>& fits, std::int64_t height_px,
    std::int64_t width_px, std::int64_t multiple_px) {
    if (fits(height_px, width_px)) {
        return std::nullopt;
    }
    std::int64_t side = std::max(height_px, width_px);
    while (side > kSmallestTile * multiple_px) {
        side = std::max(side / 2 / multiple_px, kSmallestTile) * multiple_px;
        if (fits(std::min(side, height_px), std::min(side, width_px))) {
            return side;
        }
    }
    throw Error(ErrorKind::engine,
                "the engine takes neither " + std::to_string(width_px) + "x" +
                    std::to_string(height_px) +
                    " px nor any tile of it; give it more memory, or build engines with a profile "
                    "that this picture or its tiles lie in");
}

std::int64_t available_bytes(const std::optional<std::int64_t>& device_bytes) {
    const std::int64_t bytes = device_bytes ? *device_bytes : free_bytes();
    return static_cast<std::int64_t>(kShareOfFreeMemory * static_cast<double>(bytes));
}

std::unique_ptr<Engine> make_tiled_engine(Engine& inner, TilePlan plan) {
    return std::make_unique<TiledEngine>(inner, std::move(plan));
}

}  // namespace dvsr
