#include "dvsr/noise.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

// The loops of a batch are compiled once for each of these, and the processor's best is taken.
#if defined(DVSR_VECTOR_CLONES)
#define DVSR_EACH_PROCESSOR __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define DVSR_EACH_PROCESSOR
#endif

// Every operation below must round once, as numpy's does: this file is compiled without
// contraction into fused multiply-adds.
namespace dvsr {
namespace {

__extension__ using Uint128 = unsigned __int128;
using Block = std::array<std::uint64_t, 4>;
using Key = std::array<std::uint64_t, 2>;
using Series = std::array<double, 7>;

constexpr std::int64_t kChannels = 3;
constexpr std::size_t kWordsPerBlock = 4;
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

inline double horner(const Series& series, double x) {
    double value = series[6];
    value = value * x + series[5];
    value = value * x + series[4];
    value = value * x + series[3];
    value = value * x + series[2];
    value = value * x + series[1];
    return value * x + series[0];
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

inline double from_bits(std::uint64_t bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline std::uint64_t to_bits(double value) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

/// A whole number below 2^52, exactly: as the low bits of 2^52. Vector units lack the conversion.
inline double to_double(std::uint64_t whole) {
    return from_bits(0x4330000000000000U | whole) - 0x1p52;
}

/// Natural logarithm of a normal number: u = m 2^e exactly, with m in [1/2, 1), then 2 artanh of
/// (m - c) / (m + c) around c.
inline double log_of(double u) {
    const std::uint64_t bits = to_bits(u);
    const double mantissa = from_bits((bits & 0x000FFFFFFFFFFFFFU) | 0x3FE0000000000000U);
    const double exponent = to_double(bits >> 52) - 1022.0;
    const double s = (mantissa - kSqrtHalf) / (mantissa + kSqrtHalf);
    return (exponent - 0.5) * kLn2 + s * horner(kLogSeries, s * s);
}

/// Random words to normals, two each: the high half is the radius, the low half the angle of
/// (turn + 1/2) / 2^32 turns, less an eighth.
DVSR_EACH_PROCESSOR void box_muller(const std::uint64_t* words, std::size_t count, float* normals) {
    for (std::size_t at = 0; at < count; ++at) {
        const double u = (to_double(words[at] >> 32) + 0.5) * 0x1p-32;
        const double radius = std::sqrt(-2.0 * log_of(u));
        const std::uint64_t turn = words[at] & 0xFFFFFFFFU;
        const double within = to_double(turn & 0x3FFFFFFFU);
        const double angle = ((within + 0.5) * 0x1p-30 - 0.5) * kQuarterTurn;
        const double square = angle * angle;
        const std::uint64_t cosine = to_bits(horner(kCosSeries, square));
        const std::uint64_t sine = to_bits(angle * horner(kSinSeries, square));
        // (c, s), (-s, c), (-c, -s), (s, -c): a turn by the quadrant, chosen and signed in bits.
        const std::uint64_t high = turn >> 31, low = (turn >> 30) & 1U;
        const std::uint64_t differ = (cosine ^ sine) & (0U - low);
        const double first = from_bits((cosine ^ differ) ^ ((high ^ low) << 63));
        const double second = from_bits((sine ^ differ) ^ (high << 63));
        normals[2 * at] = static_cast<float>(radius * first);
        normals[2 * at + 1] = static_cast<float>(radius * second);
    }
}

/// Room for one picture row.
struct DrawnRow {
    explicit DrawnRow(std::size_t count)
        : words(((count + 1) / 2 + kWordsPerBlock - 1) / kWordsPerBlock * kWordsPerBlock),
          values(2 * words.size()) {}

    std::vector<std::uint64_t> words;
    std::vector<float> values;
};

/// The normals of one picture row in the order R G B R G B.
void draw_row(const Key& key, std::uint64_t index, DrawnRow& row) {
    std::uint64_t block = 0;
    for (std::size_t at = 0; at < row.words.size(); at += kWordsPerBlock) {
        const Block words = philox({++block, index, 0, 0}, key);
        std::copy(words.begin(), words.end(), row.words.data() + at);
    }
    box_muller(row.words.data(), row.words.size(), row.values.data());
}

}  // namespace

void normals(std::uint64_t seed, std::uint32_t sample, std::uint32_t step, std::int64_t height_px,
             std::int64_t width_px, float* field) {
    const Key key{seed, std::uint64_t{sample} << 32 | step};
    const auto count = static_cast<std::size_t>(kChannels * width_px);
    DrawnRow drawn(count);
    for (std::int64_t row = 0; row < height_px; ++row) {
        draw_row(key, static_cast<std::uint64_t>(row), drawn);
        for (std::int64_t channel = 0; channel < kChannels; ++channel) {
            float* target = field + (channel * height_px + row) * width_px;
            const float* source = drawn.values.data() + channel;
            for (std::int64_t column = 0; column < width_px; ++column) {
                target[column] = source[kChannels * column];
            }
        }
    }
}

}  // namespace dvsr
