#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "dvsr/noise.hpp"
#include "planes.hpp"

#if __has_include(<cuda_fp16.h>)
#include <cuda_fp16.h>
#undef __global__
#define HAS_HALF
#endif

// One thread after another, in place of a GPU. Local, because the GPU's own may be linked too.
#define __global__ [[maybe_unused]] static
namespace {
struct Index {
    unsigned x;
};
Index blockIdx, threadIdx, blockDim;
}  // namespace

#include "cuda/device_code.hpp"

namespace {

using dvsr::Planes;
using dvsr::cuda::Order;
using dvsr::cuda::PaddedSize;
using dvsr::cuda::Ticket;
using dvsr::cuda::Verdict;

namespace device = dvsr::cuda::device;

/// Runs `kernel` in at least `threads` threads.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), std::int64_t threads, Arguments... arguments) {
    blockDim.x = 64;
    for (blockIdx.x = 0; blockIdx.x * 64 < threads; ++blockIdx.x) {
        for (threadIdx.x = 0; threadIdx.x < 64; ++threadIdx.x) {
            kernel(static_cast<Parameters>(arguments)...);
        }
    }
}

/// Samples without a pattern that a swap of rows, columns or channels would leave as it is.
std::vector<std::uint8_t> samples_of(std::int64_t count) {
    std::vector<std::uint8_t> samples(static_cast<std::size_t>(count));
    std::uint32_t state = 1;
    for (std::uint8_t& sample : samples) {
        state = state * 1664525U + 1013904223U;
        sample = static_cast<std::uint8_t>(state >> 24);
    }
    return samples;
}

/// Two pictures whose rows and whose own ends are followed by bytes that are not theirs.
struct Two {
    static constexpr std::int64_t kHeight = 5, kWidth = 11, kRow = 36, kPicture = 200;

    std::vector<std::uint8_t> samples = samples_of(2 * kPicture);

    dvsr::cuda::Pictures pictures(Order order) const {
        return {samples.data(), 2, kHeight, kWidth, kRow, kPicture, order};
    }
    dvsr::cuda::MutablePictures target(Order order) {
        return {samples.data(), 2, kHeight, kWidth, kRow, kPicture, order};
    }
    dvsr::ImageView view(std::int64_t picture) const {
        return {samples.data() + picture * kPicture, kHeight, kWidth, 3, kRow};
    }
};

constexpr PaddedSize kPadded{8, 16};
constexpr std::int64_t kPlanes = 3 * 8 * 16;

template <typename Real>
std::vector<Real> padded(const dvsr::cuda::Pictures& pictures, PaddedSize size,
                         std::int64_t copies) {
    const std::int64_t pixels = pictures.count * size.height_px * size.width_px;
    std::vector<Real> y(static_cast<std::size_t>(3 * copies * pixels));
    Verdict verdict{7, 7};
    launch(device::pad_to_model<Real>, pixels, pictures, y.data(), size, copies, &verdict);
    CHECK(verdict.ticket == 0U);
    CHECK(verdict.not_finite == 0U);
    return y;
}

std::vector<float> part(const std::vector<float>& values, std::int64_t index, std::int64_t count) {
    return {values.begin() + index * count, values.begin() + (index + 1) * count};
}

bool same_bits(const std::vector<float>& one, const std::vector<float>& other) {
    return one.size() == other.size() &&
           std::memcmp(one.data(), other.data(), one.size() * sizeof(float)) == 0;
}

/// Float pictures that lie on both sides of the model's range.
std::vector<float> levels_of(std::size_t count, std::uint64_t seed) {
    std::vector<float> values(3 * count);
    dvsr::normals(seed, 0, 0, 1, static_cast<std::int64_t>(count), values.data());
    values.resize(count);
    return values;
}

}  // namespace

TEST_CASE("the kernel pads every picture of a batch as the CPU does, for every sample") {
    const Two two;
    const std::vector<float> y = padded<float>(two.pictures(Order::rgb), kPadded, 3);
    for (std::int64_t copy = 0; copy < 3; ++copy) {
        for (std::int64_t picture = 0; picture < 2; ++picture) {
            CHECK(same_bits(part(y, 2 * copy + picture, kPlanes),
                            dvsr::to_model(two.view(picture), 8).values));
        }
    }
}

TEST_CASE("the kernel reflects a narrow picture as often as it takes, and repeats a single pixel") {
    const std::vector<std::uint8_t> samples = samples_of(9);
    for (const std::int64_t width : {1, 3}) {
        const dvsr::cuda::Pictures picture{samples.data(), 1, 1, width, 9, 9, Order::rgb};
        const Planes y = dvsr::to_model({samples.data(), 1, width, 3, 9}, 8);
        CHECK(same_bits(padded<float>(picture, {8, 8}, 1), y.values));
    }
}

TEST_CASE("the kernel takes and gives pictures of the order BGR") {
    const Two two;
    Two swapped = two;
    for (std::int64_t at = 0; at < 2; ++at) {
        for (std::int64_t row = 0; row < Two::kHeight; ++row) {
            std::uint8_t* samples = swapped.samples.data() + at * Two::kPicture + row * Two::kRow;
            for (std::int64_t column = 0; column < Two::kWidth; ++column) {
                std::swap(samples[3 * column], samples[3 * column + 2]);
            }
        }
    }
    const std::vector<float> y = padded<float>(two.pictures(Order::rgb), kPadded, 1);
    CHECK(same_bits(padded<float>(swapped.pictures(Order::bgr), kPadded, 1), y));

    Two back = two;
    Verdict verdict{};
    launch(device::crop_to_picture<float>, 2 * Two::kHeight * Two::kWidth, y.data(), nullptr,
           kPadded, back.target(Order::bgr), nullptr, &verdict);
    CHECK(back.samples == swapped.samples);
}

TEST_CASE("the kernel crops and rounds guess plus residual as the CPU does, and nothing else") {
    Two two;
    const std::vector<std::uint8_t> before = two.samples;
    const std::vector<float> guess = levels_of(2 * kPlanes, 1),
                             residual = levels_of(2 * kPlanes, 2);
    const Ticket ticket{5, 0};
    Verdict verdict{};
    launch(device::crop_to_picture<float>, 2 * Two::kHeight * Two::kWidth, guess.data(),
           residual.data(), kPadded, two.target(Order::rgb), &ticket, &verdict);
    CHECK(verdict.ticket == 5U);
    CHECK(verdict.not_finite == 0U);

    std::vector<std::uint8_t> wanted = before;
    for (std::int64_t picture = 0; picture < 2; ++picture) {
        Planes x(kPadded.height_px, kPadded.width_px);
        x.values = part(guess, picture, kPlanes);
        const std::vector<float> added = part(residual, picture, kPlanes);
        std::transform(x.values.begin(), x.values.end(), added.begin(), x.values.begin(),
                       std::plus<float>());
        dvsr::from_model(
            x, {wanted.data() + picture * Two::kPicture, Two::kHeight, Two::kWidth, 3, Two::kRow});
    }
    CHECK(two.samples == wanted);
}

TEST_CASE("a value that is not finite becomes what the CPU makes of it, and is reported") {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
        const std::vector<float> guess{value, 0, 0};
        std::vector<std::uint8_t> samples(3), wanted(3);
        Verdict verdict{};
        launch(device::crop_to_picture<float>, 1, guess.data(), nullptr, PaddedSize{1, 1},
               dvsr::cuda::MutablePictures{samples.data(), 1, 1, 1, 3, 3, Order::rgb}, nullptr,
               &verdict);
        Planes x(1, 1);
        x.values = guess;
        dvsr::from_model(x, {wanted.data(), 1, 1, 3, 3});
        CHECK(samples == wanted);
        CHECK(verdict.not_finite == 1U);
    }
}

TEST_CASE("the kernel draws the CPU's normals to the bit, for every sample and picture") {
    const std::int64_t height = 7, width = 13, count = 3 * height * width;
    const std::int64_t threads = 2 * height * ((3 * width + 7) / 8);
    for (const std::uint64_t seed : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        const Ticket ticket{1, static_cast<unsigned long long>(seed)};
        std::vector<float> field(static_cast<std::size_t>(2 * 2 * count));
        launch(device::normals, threads, field.data(), &ticket.number, 3, 2, 2, 2, height, width);
        for (std::int64_t part_index = 0; part_index < 4; ++part_index) {
            std::vector<float> wanted(static_cast<std::size_t>(count));
            const auto sample = static_cast<std::uint32_t>(3 + part_index / 2);
            dvsr::normals(seed, sample, 2, height, width, wanted.data());
            CHECK(same_bits(part(field, part_index, count), wanted));
        }
    }
}

TEST_CASE("the kernels average samples as the CPU does, in one turn or in several") {
    const std::int64_t count = kPlanes, samples = 6;
    std::vector<float> values(static_cast<std::size_t>(samples * count));
    dvsr::Moments moments(static_cast<std::size_t>(count));
    for (std::int64_t sample = 0; sample < samples; ++sample) {
        const auto one =
            levels_of(static_cast<std::size_t>(count), static_cast<std::uint64_t>(sample));
        std::copy(one.begin(), one.end(), values.begin() + sample * count);
        moments.add(one.data());
    }
    for (const std::int64_t at_once : {1, 3, 6}) {
        std::vector<float> mean(static_cast<std::size_t>(count), 9.0F), squares = mean;
        for (std::int64_t seen = 0; seen < samples; seen += at_once) {
            launch(device::accumulate, count, values.data() + seen * count, mean.data(),
                   squares.data(), seen, at_once, count);
        }
        CHECK(same_bits(mean, moments.mean()));

        const PaddedSize cropped{5, 11};
        std::vector<float> spread(3 * 5 * 11), wanted;
        launch(device::crop_to_spread, 5 * 11, squares.data(), kPadded, spread.data(), 1, cropped,
               samples);
        for (std::int64_t pixel = 0; pixel < 5 * 11; ++pixel) {
            for (std::int64_t channel = 0; channel < 3; ++channel) {
                const std::int64_t at = (channel * 8 + pixel / 11) * 16 + pixel % 11;
                wanted.push_back(127.5F * moments.deviation(static_cast<std::size_t>(at)));
            }
        }
        CHECK(same_bits(spread, wanted));
    }
}

TEST_CASE("the kernel scales the start's noise as the CPU does") {
    const std::vector<float> noise = levels_of(100, 3);
    std::vector<float> scaled(noise.size()), wanted = noise;
    launch(device::scale, 100, noise.data(), scaled.data(), 0.3F, 100);
    for (float& value : wanted) {
        value *= 0.3F;
    }
    CHECK(same_bits(scaled, wanted));
}

#if defined(HAS_HALF)
TEST_CASE("pictures in half are the float ones rounded once, and come back as they were") {
    Two two;
    const std::vector<std::uint8_t> before = two.samples;
    const std::vector<float> exact = padded<float>(two.pictures(Order::rgb), kPadded, 1);
    const std::vector<__half> y = padded<__half>(two.pictures(Order::rgb), kPadded, 1);
    for (std::size_t at = 0; at < exact.size(); ++at) {
        CHECK(static_cast<float>(y[at]) == static_cast<float>(__float2half_rn(exact[at])));
    }
    Verdict verdict{};
    std::fill(two.samples.begin(), two.samples.end(), std::uint8_t{0});
    launch(device::crop_to_picture<__half>, 2 * Two::kHeight * Two::kWidth, y.data(), nullptr,
           kPadded, two.target(Order::rgb), nullptr, &verdict);
    CHECK(padded<float>(two.pictures(Order::rgb), kPadded, 1) == exact);
}
#endif
