#include "noise_fields.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "dvsr/noise.hpp"

namespace {

constexpr std::int64_t kBytes = 4 * 3 * 2 * 5;  // of a field of 2 x 5 px

dvsr::FieldKey key(std::uint32_t step) { return {7, 1, step, 2, 5}; }

}  // namespace

TEST_CASE("a field that is kept is the one that was drawn, and its bits are those of normals") {
    dvsr::NoiseFields fields(2 * kBytes);
    const auto first = fields.field(key(3));
    std::vector<float> wanted(30);
    dvsr::normals(7, 1, 3, 2, 5, wanted.data());
    CHECK(first->values == wanted);
    CHECK((fields.field(key(3)) == first));
}

TEST_CASE("a field of several samples holds theirs in a row, and takes the room of all") {
    dvsr::NoiseFields fields(2 * kBytes);
    const auto three = fields.field({7, 1, 3, 2, 5, 3});
    REQUIRE(three->count == 3);
    for (std::uint32_t index = 0; index < 3; ++index) {
        const auto single = fields.field({7, 1 + index, 3, 2, 5});
        CHECK(std::vector<float>(three->picture(index), three->picture(index) + 30) ==
              single->values);
    }
    CHECK((fields.field({7, 1, 3, 2, 5, 3}) != three));  // too large to be kept
}

TEST_CASE("every part of the key makes another field") {
    dvsr::NoiseFields fields(100 * kBytes);
    const auto one = fields.field({7, 1, 3, 2, 5});
    for (const dvsr::FieldKey& other : {dvsr::FieldKey{8, 1, 3, 2, 5},
                                        {7, 2, 3, 2, 5},
                                        {7, 1, 4, 2, 5},
                                        {7, 1, 3, 3, 5},
                                        {7, 1, 3, 2, 6},
                                        {7, 1, 3, 2, 5, 2}}) {
        CHECK(fields.field(other)->values != one->values);
    }
}

TEST_CASE("the field that was not used for longest goes first, and one too large is not kept") {
    dvsr::NoiseFields fields(2 * kBytes);
    const auto first = fields.field(key(1)), second = fields.field(key(2));
    CHECK((fields.field(key(1)) == first));
    fields.field(key(3));
    CHECK((fields.field(key(1)) == first));
    CHECK((fields.field(key(2)) != second));

    dvsr::NoiseFields none(kBytes - 1);
    CHECK((none.field(key(1)) != none.field(key(1))));
}

TEST_CASE("four threads that ask for the same fields get the same bits") {
    dvsr::NoiseFields fields(3 * kBytes);
    std::vector<float> wanted(30);
    dvsr::normals(7, 1, 2, 2, 5, wanted.data());
    std::vector<std::thread> threads;
    std::vector<int> wrong(4);
    for (int& count : wrong) {
        threads.emplace_back([&] {
            for (std::uint32_t turn = 0; turn < 50; ++turn) {
                fields.field(key(turn % 5));
                count += fields.field(key(2))->values == wanted ? 0 : 1;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(wrong == std::vector<int>(4));
}
