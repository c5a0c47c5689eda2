// The whole loop on a device that is this computer's memory, against the session's pictures.
#include "tensorrt/device_loop.hpp"

#include "answer.hpp"
#include "dvsr/session.hpp"
#include "expect_error.hpp"
#include "host_device.hpp"
#include "small_bundle.hpp"

using dvsr::ErrorKind;
using dvsr::Image;
using dvsr::ImageView;

namespace {

Image photograph(std::int64_t height_px, std::int64_t width_px, unsigned salt = 0) {
    Image image{height_px, width_px, {}};
    for (std::int64_t at = 0; at < 3 * height_px * width_px; ++at) {
        image.samples.push_back(static_cast<std::uint8_t>((at * 37 + salt * 91 + at / 5) % 256));
    }
    return image;
}

ImageView view(const Image& image) {
    return {image.samples.data(), image.height_px, image.width_px, 3, 3 * image.width_px};
}

struct Answer {
    std::vector<std::uint8_t> picture;
    std::vector<float> spread;
    dvsr::Timings times;
};

struct Bench {
    explicit Bench(std::optional<std::int64_t> memory_mib = std::nullopt) {
        auto owned = std::make_unique<HostDevice>();
        device = owned.get();
        auto both = std::make_unique<HostNetworks>(*device);
        networks = both.get();
        loop = std::make_unique<dvsr::DeviceLoop>("host", opened.manifest, std::move(owned),
                                                  std::move(both), memory_mib);
    }

    dvsr::LoopRequest request(const Image& image, std::int64_t samples = 2,
                              const char* preset = "pair", std::uint64_t seed = 7) const {
        return {view(image), &opened.presets.at(preset).table, samples, seed, true};
    }

    Answer run(const dvsr::LoopRequest& request) {
        const auto size =
            static_cast<std::size_t>(3 * request.picture.height_px * request.picture.width_px);
        Answer answer{std::vector<std::uint8_t>(size), std::vector<float>(size), {}};
        answer.times = loop->run(request, answer.picture.data(), answer.spread.data());
        return answer;
    }

    SmallBundle bundle;
    dvsr::Bundle opened = dvsr::open_bundle(bundle.path());
    HostDevice* device = nullptr;
    HostNetworks* networks = nullptr;
    std::unique_ptr<dvsr::DeviceLoop> loop;
};

Answer by_session(const Bench& bench, const Image& image, const dvsr::Options& options) {
    const dvsr::Session session(bench.bundle.path(), "fake");
    Answer answer{image.samples, std::vector<float>(image.samples.size()), {}};
    session.deblur(view(image), {answer.picture.data(), image.height_px, image.width_px}, options,
                   answer.spread.data());
    return answer;
}

}  // namespace

TEST_CASE("the picture is the session's before and after its graph is captured") {
    for (const auto& [height, width] : {std::pair{1, 1}, {17, 31}, {8, 64}, {40, 24}}) {
        for (const std::int64_t at_once : {1, 3}) {
            Bench bench;
            bench.networks->max_batch = at_once;
            const Image image = photograph(height, width);
            const Answer expected = by_session(bench, image, {{}, 3, ~0ULL, "triple"});
            for (int run = 0; run < 3; ++run) {
                const Answer found = bench.run(bench.request(image, 3, "triple", ~0ULL));
                CHECK(found.picture == expected.picture);
                CHECK(found.spread == expected.spread);
            }
            CHECK(bench.device->graphs.size() == 1);
        }
    }
}

TEST_CASE("a self-ensemble by the device's loop is the session's") {
    Bench bench;
    const Image image = photograph(17, 31);
    const Answer expected = by_session(bench, image, {{}, 10, 7, "pair", true});
    const dvsr::Opened opened{dvsr::open_bundle(bench.bundle.path()), std::nullopt,
                              std::move(bench.loop), std::make_unique<dvsr::NoiseFields>(0),
                              "host"};
    Answer found{image.samples, std::vector<float>(image.samples.size()), {}};
    dvsr::answer({opened.bundle.presets.at("pair").table, 10, 7, true}, view(image),
                 {found.picture.data(), 17, 31, 3, 93}, found.spread.data(), opened);
    CHECK(bench.device->count("to_spread") > 0);
    CHECK(found.picture == expected.picture);
    CHECK(found.spread == expected.spread);
}

TEST_CASE("no steps give the predictor's picture and no spread") {
    Bench bench;
    const Image image = photograph(9, 12);
    const dvsr::Table empty;
    for (int run = 0; run < 3; ++run) {
        const Answer found = bench.run({view(image), &empty, 5, 1, true});
        CHECK(found.picture == image.samples);
        CHECK(found.spread == std::vector<float>(image.samples.size()));
    }
}

TEST_CASE("one graph serves every picture and every seed") {
    Bench bench;
    for (const auto& [salt, seed] : {std::pair{0U, 1U}, {1, 1}, {1, 2}, {2, 3}, {0, 1}}) {
        const Image image = photograph(16, 24, salt);
        const Answer expected = by_session(bench, image, {{}, 2, seed, "pair"});
        CHECK(bench.run(bench.request(image, 2, "pair", seed)).picture == expected.picture);
    }
    CHECK(bench.device->count("begin_capture") == 1);
}

TEST_CASE("a kept seed draws its noise once") {
    Bench bench;
    for (unsigned salt = 0; salt < 4; ++salt) {
        bench.run(bench.request(photograph(16, 24, salt)));
    }
    // Of two rows the last adds no noise; the start does. Two samples.
    CHECK(bench.device->count("normals") == 2 * 2);
}

TEST_CASE("noise that does not fit is drawn in each step and gives the same picture") {
    Bench little;
    const Image image = photograph(16, 24);
    little.device->capacity = 120'000;
    const Answer expected = by_session(little, image, {{}, 8, 7, "pair"});
    CHECK(little.run(little.request(image, 8)).picture == expected.picture);
    CHECK(little.run(little.request(image, 8)).picture == expected.picture);
    CHECK(little.device->count("normals") > 2 * 8);
}

TEST_CASE("stages have their times as single calls, and a graph tells none") {
    Bench bench;
    const Image image = photograph(16, 16);
    CHECK(bench.run(bench.request(image)).times.predictor_ms > 0.0);
    CHECK(bench.run(bench.request(image)).times.steps_ms == 0.0);
    CHECK(bench.loop->verdicts().find("loop 16x16, 2 samples, 2 steps: graph: ") == 0);
}

TEST_CASE("growing scratch memory recaptures what was captured over the old") {
    Bench bench;
    const Image small = photograph(16, 16), large = photograph(48, 48);
    const Answer expected = bench.run(bench.request(small));
    for (const Image* image : {&small, &small, &large, &small, &small}) {
        // The host device refuses memory that was given back, as the old scratch was.
        const Answer found = bench.run(bench.request(*image));
        CHECK((image == &large || found.picture == expected.picture));
    }
    CHECK(bench.device->count("end_capture") == 2);
}

TEST_CASE("a stale answer is an error and the next call is right") {
    Bench bench;
    const Image first = photograph(16, 16, 1), second = photograph(16, 16, 2);
    bench.run(bench.request(first));
    const Answer expected = bench.run(bench.request(second));
    REQUIRE(bench.device->graphs.size() == 1);
    // A replay that does nothing leaves the last answer there.
    bench.device->graphs.begin()->second.clear();
    expect_error(ErrorKind::engine, "the stale result was thrown away",
                 [&] { bench.run(bench.request(first)); });
    CHECK(bench.run(bench.request(second)).picture == expected.picture);
}

TEST_CASE("values that are not finite are an error and the next call works") {
    Bench bench;
    const Image image = photograph(16, 16);
    const Answer expected = bench.run(bench.request(image));
    bench.networks->poisoned = true;
    expect_error(ErrorKind::engine, "NaN or infinite values; the weights are damaged",
                 [&] { bench.run(bench.request(image)); });
    bench.networks->poisoned = false;
    CHECK(bench.run(bench.request(image)).picture == expected.picture);
}

TEST_CASE("a failure in the middle leaves nothing and the next call works") {
    for (const char* failing : {"predictor", "step", "upload", "launch"}) {
        Bench bench;
        const Image image = photograph(16, 16);
        const Answer expected = bench.run(bench.request(image));
        bench.device->failing = {failing};
        expect_error(ErrorKind::engine, failing, [&] { bench.run(bench.request(image)); });
        CHECK(bench.networks->open_runners == 0);
        bench.device->failing.clear();
        CHECK(bench.run(bench.request(image)).picture == expected.picture);
    }
}

TEST_CASE("a library that refuses to run a network is an error each time") {
    Bench bench;
    const Image image = photograph(16, 16);
    bench.networks->refusing = {"step"};
    for (int run = 0; run < 2; ++run) {
        expect_error(ErrorKind::engine, "refused to run the step",
                     [&] { bench.run(bench.request(image)); });
    }
    bench.networks->refusing.clear();
    bench.run(bench.request(image));
}

TEST_CASE("a picture that the memory does not hold is refused and does not fit") {
    Bench bench;
    bench.device->capacity = 150'000;
    CHECK_FALSE(bench.loop->fits(bench.request(photograph(64, 64), 1)));
    CHECK(bench.loop->fits(bench.request(photograph(16, 16), 1)));
    expect_error(ErrorKind::engine, "--memory",
                 [&] { bench.run(bench.request(photograph(64, 64), 1)); });
    bench.run(bench.request(photograph(16, 16), 1));
}

TEST_CASE("a stated memory bounds what is kept, and the oldest size goes first") {
    Bench bench(1);
    for (const int side : {64, 56, 48, 64}) {
        bench.run(bench.request(photograph(side, side), 1));
        CHECK(bench.device->held() <= std::int64_t{1} << 20);
    }
    CHECK(bench.loop->verdicts().find("56x56") == std::string::npos);
}

TEST_CASE("a size outside the profile is an error and does not fit") {
    Bench bench;
    const Image image = photograph(80, 80);
    CHECK_FALSE(bench.loop->fits(bench.request(image)));
    expect_error(ErrorKind::engine, "build it: python -m export.trt",
                 [&] { bench.run(bench.request(image)); });
}

TEST_CASE("single networks, which tiles need, compute what the engine computes") {
    Bench bench;
    const auto fake = dvsr::open_fake_engine();
    dvsr::Planes z(8, 16), y(8, 16), noise(8, 16), previous(8, 16);
    float value = 0.0F;
    for (dvsr::Planes* planes : {&z, &y, &noise, &previous}) {
        for (float& number : planes->values) {
            number = (value += 0.25F);
        }
    }
    const dvsr::Engine::FloatRow row{-1.0F, 0.5F, 1.0F, 0.25F, 0.75F, 0.125F, 0.5F};
    dvsr::Planes expected(8, 16), estimate(8, 16), found(8, 16), residual(8, 16);
    fake->step(z, y, noise, previous, row, expected, estimate);
    for (int run = 0; run < 3; ++run) {
        bench.loop->step(z, y, noise, previous, row, found, residual);
        CHECK(found.values == expected.values);
        CHECK(residual.values == estimate.values);
        bench.loop->predict(y, found);
        CHECK(found.values == y.values);
    }
}

TEST_CASE("an engine that goes gives the device's memory back first") {
    Bench bench;
    bench.run(bench.request(photograph(16, 16)));
    std::int64_t left_behind = -1;
    bench.device->left_behind = &left_behind;
    CHECK(bench.device->held() > 0);
    bench.loop.reset();
    CHECK(left_behind == 0);
}
