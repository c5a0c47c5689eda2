#include "dvsr/noise.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sha256.hpp"

namespace {

std::vector<float> field(std::uint64_t seed, std::uint32_t sample, std::uint32_t step,
                         std::int64_t height, std::int64_t width) {
    std::vector<float> values(static_cast<std::size_t>(3 * height * width));
    dvsr::normals(seed, sample, step, height, width, values.data());
    return values;
}

}  // namespace

// The golden values are runtime.noise.normals' own.
TEST_CASE("two pixels of seed 0 have Python's bits") {
    const std::vector<float> golden{0x1.427e74p+1F, 0x1.1abda2p-3F,  -0x1.9aca5ap+0F,
                                    0x1.00730ap-3F, -0x1.ae129ep+0F, 0x1.0bac66p+1F};
    CHECK(field(0, 0, 0, 1, 2) == golden);
}

TEST_CASE("a picture's field has Python's bits") {
    const std::vector<float> values = field(12345, 1, 2, 37, 61);
    const std::string bytes(reinterpret_cast<const char*>(values.data()),
                            values.size() * sizeof(float));
    CHECK(dvsr::sha256(bytes) ==
          "83ed99f2f6cb47ce7c99397f147d5796895367b79df27d4f39b97fbc1b816edb");
}

TEST_CASE("noise does not depend on the picture's size") {
    const std::vector<float> large = field(7, 0, 1, 4, 9);
    const std::vector<float> small = field(7, 0, 1, 2, 3);
    for (std::size_t channel = 0; channel < 3; ++channel) {
        CHECK(small[channel * 6 + 3 + 2] == large[channel * 36 + 9 + 2]);
    }
}
