#include "planes.hpp"

#include <doctest/doctest.h>

#include <limits>

namespace {

dvsr::Image row_of(const std::vector<std::uint8_t>& levels) {
    dvsr::Image image{1, static_cast<std::int64_t>(levels.size()), {}};
    for (const std::uint8_t level : levels) {
        image.samples.insert(image.samples.end(), {level, level, level});
    }
    return image;
}

std::vector<std::uint8_t> padded_row(const std::vector<std::uint8_t>& levels,
                                     std::int64_t multiple) {
    const dvsr::Image image = row_of(levels);
    const dvsr::Planes y =
        dvsr::to_model({image.samples.data(), 1, image.width_px, 3, 3 * image.width_px}, multiple);
    dvsr::Image back{1, y.width_px, std::vector<std::uint8_t>(3 * y.values.size())};
    dvsr::from_model(y, {back.samples.data(), 1, y.width_px, 3, 3 * y.width_px});
    std::vector<std::uint8_t> seen;
    for (std::int64_t column = 0; column < y.width_px; ++column) {
        seen.push_back(back.samples[static_cast<std::size_t>(3 * column)]);
    }
    return seen;
}

using Levels = std::vector<std::uint8_t>;

}  // namespace

TEST_CASE("padding reflects without repeating the border, as often as it takes") {
    CHECK(padded_row({10, 20, 30}, 8) == Levels{10, 20, 30, 20, 10, 20, 30, 20});
}

TEST_CASE("a single pixel fills the padding") { CHECK(padded_row({7}, 4) == Levels{7, 7, 7, 7}); }

TEST_CASE("every grey level survives the way to the model and back") {
    Levels all(256);
    for (std::size_t level = 0; level < all.size(); ++level) {
        all[level] = static_cast<std::uint8_t>(level);
    }
    CHECK(padded_row(all, 1) == all);
}

TEST_CASE("values beyond the range are clipped and a NaN becomes black") {
    dvsr::Planes x(1, 3);
    x.values = {9.0F, -9.0F, std::numeric_limits<float>::quiet_NaN(), 0, 0, 0, 0, 0, 0};
    std::vector<std::uint8_t> samples(9);
    dvsr::from_model(x, {samples.data(), 1, 3, 3, 9});
    CHECK(samples[0] == 255);
    CHECK(samples[3] == 0);
    CHECK(samples[6] == 0);
}

TEST_CASE("a picture for several samples is the same for each") {
    dvsr::Planes x(1, 2);
    x.values = {1, 2, 3, 4, 5, 6};
    const dvsr::Planes batch = dvsr::repeated(x, 3);
    REQUIRE(batch.count == 3);
    REQUIRE(batch.values.size() == 18);
    for (std::int64_t index = 0; index < batch.count; ++index) {
        CHECK(std::vector<float>(batch.picture(index), batch.picture(index) + 6) == x.values);
    }
}

TEST_CASE("mean and deviation are those of the population") {
    dvsr::Moments moments(1);
    for (const float value : {1.0F, 2.0F, 6.0F}) {
        moments.add(&value);
    }
    CHECK(moments.mean()[0] == 3.0F);
    CHECK(moments.deviation(0) == doctest::Approx(2.160247F));
}
