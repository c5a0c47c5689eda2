#include "dvsr/noise.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

// Every operation below must round once, as numpy's does: this file is compiled without
// contraction into fused multiply-adds.
namespace dvsr {
namespace {

__extension__ using Uint128 = unsigned __int128;
using Block = std::array<std::uint64_t, 4>;
using Key = std::array<std::uint64_t, 2>;
using Series = std::array<double, 7>;

constexpr std::int64_t kChannels = 3;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kQuarterTurn = 0x1.921fb54442d18p+0;

constexpr double factorial(int n) { return n < 2 ? 1.0 : n * factorial(n - 1); }

constexpr Series log_series() {
    Series series{};
    for (std::size_t k = 0; k < series.size(); ++k) {
        series[k] = 2.0 / static_cast<double>(2 * k + 1);
    }
    return series;
}

/// Taylor series of the sine (first = 1) or cosine (first = 0) in the square of the angle.
constexpr Series turn_series(int first) {
    Series series{};
    for (std::size_t k = 0; k < series.size(); ++k) {
        const double sign = k % 2 == 0 ? 1.0 : -1.0;
        series[k] = sign / factorial(2 * static_cast<int>(k) + first);
    }
    return series;
}

constexpr Series kLogSeries = log_series();
constexpr Series kSinSeries = turn_series(1);
constexpr Series kCosSeries = turn_series(0);

double horner(const Series& series, double x) {
    double value = series.back();
    for (std::size_t k = series.size() - 1; k-- > 0;) {
        value = value * x + series[k];
    }
    return value;
}

/// Ten rounds with the constants of Salmon et al. 2011, section 3.3.
Block philox(Block counter, Key key) {
    for (int round = 0; round < 10; ++round) {
        const Uint128 first = Uint128{0xD2E7470EE14C6C93U} * counter[0];
        const Uint128 second = Uint128{0xCA5A826395121157U} * counter[2];
        counter = {static_cast<std::uint64_t>(second >> 64) ^ counter[1] ^ key[0],
                   static_cast<std::uint64_t>(second),
                   static_cast<std::uint64_t>(first >> 64) ^ counter[3] ^ key[1],
                   static_cast<std::uint64_t>(first)};
        key[0] += 0x9E3779B97F4A7C15U;
        key[1] += 0xBB67AE8584CAA73BU;
    }
    return counter;
}

/// Natural logarithm: u = m 2^e exactly, then 2 artanh of (m - c) / (m + c) around c.
double log_of(double u) {
    int exponent = 0;
    const double mantissa = std::frexp(u, &exponent);
    const double s = (mantissa - kSqrtHalf) / (mantissa + kSqrtHalf);
    return (exponent - 0.5) * kLn2 + s * horner(kLogSeries, s * s);
}

struct Pair {
    double first;
    double second;
};

/// Cosine and sine of an angle of (turn + 1/2) / 2^32 turns, less an eighth.
Pair cos_sin(std::uint32_t turn) {
    const std::uint32_t quadrant = turn >> 30;
    const double within = turn & 0x3FFFFFFFU;
    const double angle = ((within + 0.5) * 0x1p-30 - 0.5) * kQuarterTurn;
    const double square = angle * angle;
    const double cosine = horner(kCosSeries, square);
    const double sine = angle * horner(kSinSeries, square);
    // (c, s), (-s, c), (-c, -s), (s, -c): a turn by the quadrant.
    const double first = quadrant % 2 == 1 ? sine : cosine;
    const double second = quadrant % 2 == 1 ? cosine : sine;
    const bool first_negative = quadrant == 1 || quadrant == 2;
    const bool second_negative = quadrant >= 2;
    return {first_negative ? -first : first, second_negative ? -second : second};
}

/// Two normals from one random word: the high half radius, the low half angle.
Pair box_muller(std::uint64_t word) {
    const double high = static_cast<std::uint32_t>(word >> 32);
    const double radius = std::sqrt(-2.0 * log_of((high + 0.5) * 0x1p-32));
    const Pair direction = cos_sin(static_cast<std::uint32_t>(word));
    return {radius * direction.first, radius * direction.second};
}

/// The normals of one picture row, at least `count` of them, in the order R G B R G B.
void draw_row(const Key& key, std::uint64_t row, std::size_t count, std::vector<float>& values) {
    values.clear();
    for (std::uint64_t block = 1; values.size() < count; ++block) {
        for (const std::uint64_t word : philox({block, row, 0, 0}, key)) {
            const Pair pair = box_muller(word);
            values.push_back(static_cast<float>(pair.first));
            values.push_back(static_cast<float>(pair.second));
        }
    }
}

}  // namespace

void normals(std::uint64_t seed, std::uint32_t sample, std::uint32_t step, std::int64_t height_px,
             std::int64_t width_px, float* field) {
    const Key key{seed, std::uint64_t{sample} << 32 | step};
    const auto count = static_cast<std::size_t>(kChannels * width_px);
    std::vector<float> values;
    values.reserve(count + 8);
    for (std::int64_t row = 0; row < height_px; ++row) {
        draw_row(key, static_cast<std::uint64_t>(row), count, values);
        for (std::int64_t channel = 0; channel < kChannels; ++channel) {
            float* target = field + (channel * height_px + row) * width_px;
            const float* source = values.data() + channel;
            for (std::int64_t column = 0; column < width_px; ++column) {
                target[column] = source[kChannels * column];
            }
        }
    }
}

}  // namespace dvsr
