#include "turns.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "dvsr/session.hpp"
#include "expect_error.hpp"
#include "small_bundle.hpp"

namespace {

dvsr::Raster<std::uint8_t> counting(std::int64_t height, std::int64_t width) {
    dvsr::Raster<std::uint8_t> picture(height, width);
    std::iota(picture.values.begin(), picture.values.end(), std::uint8_t{0});
    return picture;
}

dvsr::ImageView view(const dvsr::Raster<std::uint8_t>& picture) {
    return {picture.values.data(), picture.height_px, picture.width_px, 3, 3 * picture.width_px};
}

dvsr::Options several(std::int64_t samples, bool self_ensemble) {
    dvsr::Options options;
    options.samples = samples;
    options.self_ensemble = self_ensemble;
    return options;
}

}  // namespace

TEST_CASE("every turn can be undone, and no two are the same") {
    const auto picture = counting(2, 2);
    std::set<std::vector<std::uint8_t>> seen;
    for (std::int64_t turn = 0; turn < dvsr::kTurns; ++turn) {
        seen.insert(dvsr::turned(picture, turn).values);
        const auto wide = counting(2, 5);
        CHECK(dvsr::turned_back(dvsr::turned(wide, turn), turn).values == wide.values);
    }
    CHECK(seen.size() == dvsr::kTurns);
}

TEST_CASE("the second turn is the transpose, the third stands upside down") {
    const auto picture = counting(1, 2);
    CHECK(dvsr::turned(picture, 1).height_px == 2);
    CHECK(dvsr::turned(picture, 1).values == picture.values);
    CHECK(dvsr::turned(picture, 2).values == std::vector<std::uint8_t>{3, 4, 5, 0, 1, 2});
}

TEST_CASE("a picture is reflected without repeating its border") {
    const auto picture = counting(1, 3);
    const auto whole = dvsr::reflected(view(picture), 4);
    CHECK(whole.height_px == 4);
    CHECK(std::vector<std::uint8_t>(whole.values.begin() + 9, whole.values.begin() + 12) ==
          std::vector<std::uint8_t>{3, 4, 5});
}

TEST_CASE("the mean of turns is rounded half to even, and its deviation counts all samples") {
    dvsr::TurnedMean mean(3, true);
    dvsr::Raster<std::uint8_t> picture(1, 1);
    const dvsr::Raster<float> still(1, 1);
    picture.values = {0, 1, 10};
    mean.add(picture, still, 1);
    picture.values = {1, 2, 20};
    mean.add(picture, still, 1);
    CHECK(mean.picture(0) == 0);
    CHECK(mean.picture(1) == 2);
    CHECK(mean.deviation(2) == doctest::Approx(5.0));
}

TEST_CASE("the mean of as many samples as there may be is exact") {
    dvsr::TurnedMean mean(3, false);
    dvsr::Raster<std::uint8_t> picture(1, 1);
    picture.values = {255, 254, 1};
    for (std::int64_t turn = 0; turn < dvsr::kTurns; ++turn) {
        mean.add(picture, dvsr::Raster<float>(0, 1), 128);
    }
    CHECK(mean.picture(0) == 255);
    CHECK(mean.picture(1) == 254);
    CHECK(mean.picture(2) == 1);
}

TEST_CASE("a mean takes 4 bytes for a sample, and 12 with its deviation") {
    CHECK(dvsr::TurnedMean(300, false).held_bytes() == 1200);
    CHECK(dvsr::TurnedMean(300, true).held_bytes() == 3600);
}

TEST_CASE("a self-ensemble of a predictor that is indifferent to turns changes nothing") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const auto picture = counting(7, 11);
    dvsr::Options options = several(9, true);
    options.steps = 0;
    CHECK(session.deblur(view(picture), options).samples == picture.values);
}

TEST_CASE("one sample is not turned, and several are") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const auto picture = counting(7, 11);
    const auto samples_of = [&](std::int64_t samples, bool turns) {
        return session.deblur(view(picture), several(samples, turns)).samples;
    };
    CHECK(samples_of(1, true) == samples_of(1, false));
    CHECK(samples_of(8, true) != samples_of(8, false));
}

TEST_CASE("a preset may ask for a self-ensemble") {
    const SmallBundle files;
    const dvsr::Session plain(files.path(), "fake");
    const auto picture = counting(7, 11);
    const auto wanted = plain.deblur(view(picture), several(2, true)).samples;
    std::string tables = files.read("tables.json");
    const std::string pair = "\"pair\": {";
    tables.insert(tables.find(pair) + pair.size(), "\"self_ensemble\": true, ");
    files.write("tables.json", tables);
    const dvsr::Session turning(files.path(), "fake");
    CHECK(turning.deblur(view(picture)).samples == wanted);
}

TEST_CASE("a picture turned in place, with rows that lie apart, is the one turned elsewhere") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const auto picture = counting(5, 7);
    const auto wanted = session.deblur(view(picture), several(3, true)).samples;
    std::vector<std::uint8_t> memory(5 * 32, 99);
    for (std::size_t row = 0; row < 5; ++row) {
        std::copy_n(picture.values.begin() + static_cast<std::ptrdiff_t>(row * 21), 21,
                    memory.begin() + static_cast<std::ptrdiff_t>(row * 32));
    }
    std::vector<float> spread(105, -1.0F);
    session.deblur({memory.data(), 5, 7, 3, 32}, {memory.data(), 5, 7, 3, 32}, several(3, true),
                   spread.data());
    for (std::size_t at = 0; at < memory.size(); ++at) {
        const bool inside = at % 32 < 21;
        CHECK(memory[at] == (inside ? wanted[at / 32 * 21 + at % 32] : 99));
    }
    CHECK(*std::min_element(spread.begin(), spread.end()) >= 0.0F);
}

TEST_CASE("the memory said to be wanted for a self-ensemble is enough, and less is not") {
    const SmallBundle files;
    const auto picture = counting(200, 200);
    const auto deblur = [&](std::int64_t memory_mib, bool turns, bool want_spread) {
        std::vector<std::uint8_t> sharp(picture.values.size());
        std::vector<float> spread(picture.values.size());
        dvsr::Session(files.path(), "fake", memory_mib)
            .deblur(view(picture), {sharp.data(), 200, 200}, several(2, turns),
                    want_spread ? spread.data() : nullptr);
    };
    deblur(7, false, true);
    expect_error(dvsr::ErrorKind::option, "for 200x200 px; wanted are at least 8 MiB",
                 [&] { deblur(7, true, false); });
    deblur(8, true, false);
    expect_error(dvsr::ErrorKind::option, "for 200x200 px; wanted are at least 9 MiB",
                 [&] { deblur(8, true, true); });
    deblur(9, true, true);
}
