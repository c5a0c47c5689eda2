#include "ladder.hpp"

#include <doctest/doctest.h>

namespace {

dvsr::Options four_samples() {
    dvsr::Options options;
    options.samples = 4;
    return options;
}

}  // namespace

TEST_CASE("without a budget every frame gets what was asked for") {
    Ladder ladder(four_samples(), 0.0);
    for (int frame = 0; frame < 3; ++frame) {
        CHECK(ladder.choose().samples == 4);
        ladder.took(1e9);
    }
}

TEST_CASE("frames over the budget lead to one sample, then to the predictor alone") {
    Ladder ladder(four_samples(), 10.0);
    CHECK(ladder.choose().samples == 4);
    ladder.took(50.0);
    CHECK(ladder.choose().samples == 1);
    CHECK(!ladder.choose().steps);
    ladder.took(20.0);
    CHECK(ladder.choose().steps == 0);
    ladder.took(15.0);
    CHECK(ladder.choose().steps == 0);  // there is nothing cheaper
}

TEST_CASE("one disturbed frame does not end a way that is affordable") {
    Ladder ladder(four_samples(), 10.0);
    for (const double milliseconds : {5.0, 20.0}) {
        ladder.choose();
        ladder.took(milliseconds);
    }
    CHECK(ladder.choose().samples == 4);
}

TEST_CASE("what was too slow is tried again after a while") {
    Ladder ladder(four_samples(), 10.0);
    ladder.choose();
    ladder.took(11.0);
    int frames = 0;
    while (ladder.choose().samples == 1) {
        ladder.took(1.0);
        ++frames;
        REQUIRE(frames <= 100);
    }
    ladder.took(1.0);
    CHECK(ladder.choose().samples == 4);
}
