#include "tiles.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "dvsr/session.hpp"
#include "expect_error.hpp"
#include "small_bundle.hpp"

using dvsr::ErrorKind;
using Starts = std::vector<std::int64_t>;

namespace {

Starts starts(const std::vector<dvsr::Span>& spans) {
    Starts found;
    for (const dvsr::Span& span : spans) {
        found.push_back(span.start_px);
    }
    return found;
}

dvsr::Planes waves(std::int64_t height, std::int64_t width, float frequency) {
    dvsr::Planes planes(height, width);
    for (std::size_t at = 0; at < planes.values.size(); ++at) {
        planes.values[at] = std::sin(frequency * static_cast<float>(at));
    }
    return planes;
}

void check_close(const dvsr::Planes& got, const dvsr::Planes& wanted) {
    REQUIRE(got.values.size() == wanted.values.size());
    for (std::size_t at = 0; at < got.values.size(); ++at) {
        REQUIRE(got.values[at] == doctest::Approx(wanted.values[at]).epsilon(1e-5));
    }
}

}  // namespace

// The golden numbers are runtime.tiles.plan_tiles' own.
TEST_CASE("tiles lie where Python puts them") {
    const dvsr::TilePlan plan = dvsr::plan_tiles(720, 1280, {256, 60, 16});
    CHECK(starts(plan.rows) == Starts{0, 144, 304, 464});
    CHECK(starts(plan.columns) == Starts{0, 160, 336, 512, 672, 848, 1024});
    CHECK(plan.rows[0].weights.back() == 0x1.0c6f68p-20F);
    const dvsr::TilePlan small = dvsr::plan_tiles(100, 40, {48, 10, 8});
    CHECK(starts(small.rows) == Starts{0, 24, 52});
    CHECK(starts(small.columns) == Starts{0});
}

TEST_CASE("weights sum to one at every pixel") {
    const dvsr::TilePlan plan = dvsr::plan_tiles(104, 8, {40, 10, 8});
    std::vector<float> sums(104);
    for (const dvsr::Span& span : plan.rows) {
        for (std::size_t at = 0; at < span.weights.size(); ++at) {
            sums[static_cast<std::size_t>(span.start_px) + at] += span.weights[at];
        }
    }
    for (const float sum : sums) {
        CHECK(sum == doctest::Approx(1.0F).epsilon(1e-6));
    }
}

TEST_CASE("a tile that the overlap would not let advance is refused") {
    expect_error(ErrorKind::option,
                 "got tiles of 16 px with an overlap of 4 px; wanted is a multiple of 16 of at "
                 "least 24",
                 [] {
                     dvsr::plan_tiles(64, 64, {16, 4, 16});
                 });
    expect_error(ErrorKind::option, "wanted is a multiple of 16", [] {
        dvsr::plan_tiles(64, 64, {40, 4, 16});
    });
}

TEST_CASE("the tile fits what the picture leaves of the budget") {
    const std::int64_t mib = 1 << 20;
    CHECK(dvsr::tile_side_px(8 * mib, 136, 200, 600, 8) == 80);
    CHECK(dvsr::tile_side_px(500 * mib, 720, 1280, 488, 16) == 880);
    CHECK(dvsr::tile_side_px(mib, 24, 32, 1200, 8) == std::nullopt);
    expect_error(ErrorKind::option,
                 "the memory is too small for 1280x720 px; wanted are at least 146 MiB",
                 [&] { dvsr::tile_side_px(100 * mib, 720, 1280, 488, 16); });
}

TEST_CASE("every tile that a budget allows can be laid over the picture") {
    for (std::int64_t budget = 1 << 20; budget < 8 << 20; budget += 1 << 16) {
        std::optional<std::int64_t> side;
        try {
            side = dvsr::tile_side_px(budget, 96, 128, 400, 32);
        } catch (const dvsr::Error&) {
            continue;  // too small even for the picture's own arrays
        }
        if (side) {
            CHECK_NOTHROW(dvsr::plan_tiles(96, 128, {*side, *side / 4, 32}));
        }
    }
}

TEST_CASE("the memory said to be wanted is enough, and less is not") {
    expect_error(ErrorKind::option, "wanted are at least 4 MiB", [] {
        dvsr::tile_side_px(3 * 1048576 - dvsr::kept_bytes(3 * 1048576), 96, 128, 400, 32);
    });
    CHECK(dvsr::tile_side_px(4 * 1048576 - dvsr::kept_bytes(4 * 1048576), 96, 128, 400, 32) == 64);
}

TEST_CASE("the memory said to be wanted has room for what is held already") {
    const auto side_px = [](std::int64_t stated_mib, std::int64_t held_bytes) {
        const std::int64_t bytes = stated_mib << 20;
        return dvsr::tile_side_px(bytes - dvsr::kept_bytes(bytes), 96, 128, 400, 32, held_bytes);
    };
    expect_error(ErrorKind::option, "wanted are at least 5 MiB", [&] { side_px(4, 1 << 20); });
    CHECK(side_px(5, 1 << 20) == 64);
    // 8 MiB and not a byte more or less.
    expect_error(ErrorKind::option, "wanted are at least 8 MiB", [&] { side_px(7, 3932160); });
    CHECK(side_px(8, 3932160) == 64);
}

// The golden numbers are runtime.tiles.portion_that_fits' own.
TEST_CASE("as many samples go at once as the budget has room for") {
    const std::int64_t budget = 3 * 64 * 64 * (144 + 1000);
    CHECK(dvsr::portion_that_fits(budget, 4, 64, 64, 1000, 8).samples == 3);
    CHECK(dvsr::portion_that_fits(budget, 2, 64, 64, 1000, 8).samples == 2);
    CHECK(dvsr::portion_that_fits(budget - 1, 4, 64, 64, 1000, 8).samples == 2);
    CHECK(!dvsr::portion_that_fits(budget, 4, 64, 64, 1000, 8).tile_px);
    const dvsr::Portion tiles = dvsr::portion_that_fits(budget / 3 - 1, 4, 64, 64, 1000, 8);
    CHECK(tiles.samples == 1);
    CHECK(tiles.tile_px == 56);
}

TEST_CASE("the machine has some memory to give, and a device most of its own") {
    CHECK(dvsr::available_bytes(std::nullopt) > 0);
    CHECK(dvsr::available_bytes(1000) == 800);
}

TEST_CASE("an engine without a neighbourhood gives the whole picture's result in tiles") {
    const auto whole = dvsr::open_fake_engine();
    const auto tiled = dvsr::make_tiled_engine(*whole, dvsr::plan_tiles(48, 72, {40, 8, 8}));
    CHECK(tiled->name() == whole->name() + ", 4 tiles");
    const dvsr::Planes y = waves(48, 72, 0.1F), z = waves(48, 72, 0.2F);
    const dvsr::Planes noise = waves(48, 72, 0.3F), previous = waves(48, 72, 0.4F);
    const dvsr::Engine::FloatRow row{0.0F, 0.5F, 1.0F, 0.25F, 0.75F, 0.125F, 0.5F};
    // What lies in the results before must not come through.
    dvsr::Planes guess = z, next = y, residual = y, wanted = z, wanted_next = z,
                 wanted_residual = z;
    tiled->predict(y, guess);
    whole->predict(y, wanted);
    check_close(guess, wanted);
    tiled->step(z, y, noise, previous, row, next, residual);
    whole->step(z, y, noise, previous, row, wanted_next, wanted_residual);
    check_close(next, wanted_next);
    check_close(residual, wanted_residual);
}

TEST_CASE("a session within a small budget gives nearly the picture of one without") {
    const SmallBundle files;
    std::vector<std::uint8_t> levels;
    for (int at = 0; at < 3 * 50 * 70; ++at) {
        levels.push_back(static_cast<std::uint8_t>(at * 37 % 256));
    }
    const dvsr::ImageView image{levels.data(), 50, 70};
    const dvsr::Image whole = dvsr::Session(files.path(), "fake").deblur(image);
    const dvsr::Image tiled = dvsr::Session(files.path(), "fake", 2).deblur(image);
    for (std::size_t at = 0; at < levels.size(); ++at) {
        // Weights that sum to one but for their rounding.
        REQUIRE(std::abs(whole.samples[at] - tiled.samples[at]) <= 1);
    }
}

TEST_CASE("a budget of nothing, or below the picture's own arrays, is refused") {
    const SmallBundle files;
    expect_error(ErrorKind::option, "got memory_mib 0; wanted is at least 1, or None",
                 [&] { dvsr::Session(files.path(), "fake", 0); });
    const std::vector<std::uint8_t> levels(3 * 200 * 200);
    const dvsr::Session session(files.path(), "fake", 1);
    expect_error(ErrorKind::option, "the memory is too small for 200x200 px", [&] {
        session.deblur({levels.data(), 200, 200});
    });
}
