#include "dvsr/session.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <thread>

#include "dvsr/dvsr.h"
#include "expect_error.hpp"
#include "small_bundle.hpp"

using dvsr::ErrorKind;

namespace {

dvsr::Image gradient(std::int64_t height, std::int64_t width) {
    dvsr::Image image{height, width, {}};
    for (std::int64_t at = 0; at < 3 * height * width; ++at) {
        image.samples.push_back(static_cast<std::uint8_t>(at * 37 % 256));
    }
    return image;
}

dvsr::ImageView view(const dvsr::Image& image) {
    return {image.samples.data(), image.height_px, image.width_px};
}

}  // namespace

TEST_CASE("zero steps give the predictor's picture, which engine fake leaves as it is") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    for (const auto& [height, width] : {std::pair{1, 1}, {17, 31}, {8, 16}}) {
        const dvsr::Image image = gradient(height, width);
        dvsr::Options options;
        options.steps = 0;
        CHECK(session.deblur(view(image), options).samples == image.samples);
    }
}

TEST_CASE("the same seed gives the same picture and another seed another one") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const dvsr::Image image = gradient(17, 31);
    dvsr::Options other;
    other.seed = 1;
    const dvsr::Image first = session.deblur(view(image));
    CHECK(session.deblur(view(image)).samples == first.samples);
    CHECK(session.deblur(view(image), other).samples != first.samples);
}

TEST_CASE("rows of the caller's memory may lie apart, and the picture may be its own result") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const dvsr::Image image = gradient(5, 7);
    const dvsr::Image wanted = session.deblur(view(image));
    std::vector<std::uint8_t> memory(5 * 32, 99);
    for (std::size_t row = 0; row < 5; ++row) {
        std::copy_n(image.samples.begin() + static_cast<std::ptrdiff_t>(row * 21), 21,
                    memory.begin() + static_cast<std::ptrdiff_t>(row * 32));
    }
    session.deblur({memory.data(), 5, 7, 3, 32}, {memory.data(), 5, 7, 3, 32});
    for (std::size_t at = 0; at < memory.size(); ++at) {
        const bool inside = at % 32 < 21;
        CHECK(memory[at] == (inside ? wanted.samples[at / 32 * 21 + at % 32] : 99));
    }
}

TEST_CASE("one sample has no spread and two have some") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    dvsr::Image image = gradient(4, 4);
    std::vector<float> spread(48, -1.0F);
    dvsr::Options options;
    for (const std::int64_t samples : {1, 2}) {
        options.samples = samples;
        std::vector<std::uint8_t> sharp(48);
        session.deblur(view(image), {sharp.data(), 4, 4}, options, spread.data());
        for (const float value : spread) {
            CHECK((value > 0.0F) == (samples == 2));
        }
    }
}

TEST_CASE("a strength that is given is the picture's, and one out of range is refused") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const dvsr::Image image = gradient(6, 6);
    dvsr::Options options;
    const dvsr::Image plain = session.deblur(view(image), options);
    options.strength = 0.5;
    const dvsr::Image half = session.deblur(view(image), options);
    REQUIRE(plain.samples != image.samples);
    for (std::size_t at = 0; at < image.samples.size(); ++at) {
        const double middle = 0.5 * (image.samples[at] + plain.samples[at]);
        CHECK(std::abs(half.samples[at] - middle) <= 0.5);
    }
    for (const double strength : {0.0, -1.0, 2.5, std::numeric_limits<double>::quiet_NaN()}) {
        options.strength = strength;
        expect_error(ErrorKind::option, "wanted is a number above 0 and at most 2",
                     [&] { session.deblur(view(image), options); });
    }
}

TEST_CASE("how many samples fit the memory at once does not change picture or spread") {
    const SmallBundle files;
    const dvsr::Image image = gradient(64, 64);
    dvsr::Options options;
    options.samples = 5;
    std::vector<std::uint8_t> wanted(image.samples.size());
    std::vector<float> wanted_spread(image.samples.size());
    dvsr::Session(files.path(), "fake")
        .deblur(view(image), {wanted.data(), 64, 64}, options, wanted_spread.data());
    for (const std::int64_t memory_mib : {6, 12}) {  // room for one, and for two
        std::vector<std::uint8_t> sharp(wanted.size());
        std::vector<float> spread(wanted.size());
        dvsr::Session(files.path(), "fake", memory_mib)
            .deblur(view(image), {sharp.data(), 64, 64}, options, spread.data());
        CHECK(sharp == wanted);
        CHECK(spread == wanted_spread);
    }
}

TEST_CASE("timings tell where the time went") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    session.deblur(view(gradient(64, 64)));
    const dvsr::Timings times = session.timings();
    CHECK(times.noise_ms > 0.0);
    CHECK(times.total_ms >= times.predictor_ms + times.noise_ms + times.steps_ms);
}

TEST_CASE("one session serves four threads, each with the single thread's picture") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const dvsr::Image image = gradient(33, 20);
    const dvsr::Image wanted = session.deblur(view(image));
    std::vector<dvsr::Image> seen(4);
    std::vector<std::thread> threads;
    for (dvsr::Image& result : seen) {
        threads.emplace_back([&] {
            for (int turn = 0; turn < 3; ++turn) {
                result = session.deblur(view(image));
                static_cast<void>(session.timings());
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const dvsr::Image& result : seen) {
        CHECK(result.samples == wanted.samples);
    }
}

TEST_CASE("pictures that cannot be are refused with their shape") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const std::uint8_t byte = 0;
    const auto refused = [&](const dvsr::ImageView& image, const std::string& words) {
        expect_error(ErrorKind::image, words, [&] { session.deblur(image); });
    };
    refused({nullptr, 1, 1}, "got null");
    refused({&byte, 17, 31, 4}, "got uint8 (17, 31, 4); wanted is uint8 RGB of shape (H, W, 3)");
    refused({&byte, 0, 5}, "An empty picture has nothing to deblur.");
    refused({&byte, -3, 5}, "An empty picture has nothing to deblur.");
    refused({&byte, 4, 5, 3, 14}, "got rows of 14 bytes; wanted are at least 15");
    refused({&byte, 4, 5, 3, -15}, "got rows of -15 bytes; wanted are at least 15");
    refused({&byte, std::int64_t{1} << 62, 1}, "wanted are sides of at most");
}

TEST_CASE("a result of another size, of no memory or of rows too short is refused") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const dvsr::Image image = gradient(2, 2);
    std::uint8_t memory[12];
    const auto refused = [&](const dvsr::MutableImageView& sharp, const std::string& words) {
        expect_error(ErrorKind::image, words, [&] { session.deblur(view(image), sharp); });
    };
    refused({memory, 1, 2}, "got uint8 (1, 2, 3) for the result");
    refused({nullptr, 2, 2}, "got null for the result");
    refused({memory, 2, 2, 3, 5}, "got rows of 5 bytes for the result; wanted are at least 6");
    refused({memory, 2, 2, 1}, "got uint8 (2, 2, 1) for the result");
}

TEST_CASE("samples and engines out of range are refused") {
    const SmallBundle files;
    const dvsr::Session session(files.path(), "fake");
    const dvsr::Image image = gradient(1, 1);
    for (const std::int64_t samples : {0, -1, 1025}) {
        dvsr::Options options;
        options.samples = samples;
        expect_error(ErrorKind::option, "samples; wanted are 1 to 1024",
                     [&] { session.deblur(view(image), options); });
    }
    expect_error(ErrorKind::engine, "got engine 'abacus'; wanted is auto or one of",
                 [&] { dvsr::Session(files.path(), "abacus"); });
}

TEST_CASE("C gets the picture that C++ gets, and its errors as codes and words") {
    const SmallBundle files;
    const dvsr::Image image = gradient(17, 31);
    dvsr::Options options;
    options.seed = 5;
    options.preset = "triple";
    const dvsr::Image wanted = dvsr::Session(files.path(), "fake").deblur(view(image), options);

    dvsr_session* session = nullptr;
    REQUIRE(dvsr_session_open(files.path().c_str(), "fake", &session) == DVSR_OK);
    CHECK(std::string(dvsr_engine(session)) == "fake (no graphs, CPU)");
    std::vector<std::uint8_t> memory = image.samples;
    dvsr_image picture = DVSR_IMAGE_INIT;
    picture.data = memory.data();
    picture.height_px = 17;
    picture.width_px = 31;
    dvsr_options c_options = DVSR_OPTIONS_INIT;
    c_options.seed = 5;
    c_options.preset = "triple";
    CHECK(dvsr_deblur(session, &picture, &c_options, &picture, nullptr) == DVSR_OK);
    CHECK(memory == wanted.samples);

    dvsr_timings times = DVSR_TIMINGS_INIT;
    CHECK(dvsr_get_timings(session, &times) == DVSR_OK);
    CHECK(times.total_ms > 0.0);

    c_options.samples = 0;
    CHECK(dvsr_deblur(session, &picture, &c_options, &picture, nullptr) == DVSR_OPTION_ERROR);
    CHECK(std::string(dvsr_last_error()) == "got 0 samples; wanted are 1 to 1024");
    picture.channels = 1;
    CHECK(dvsr_deblur(session, &picture, nullptr, &picture, nullptr) == DVSR_IMAGE_ERROR);
    picture.struct_size = 0;
    CHECK(dvsr_deblur(session, &picture, nullptr, &picture, nullptr) == DVSR_ARGUMENT_ERROR);
    dvsr_session_close(session);
}

TEST_CASE("C refuses null pointers, rows too short and other channels in the words of C++") {
    const SmallBundle files;
    dvsr_session* session = nullptr;
    REQUIRE(dvsr_session_open(files.path().c_str(), "fake", &session) == DVSR_OK);
    std::uint8_t memory[12] = {};
    dvsr_image good = DVSR_IMAGE_INIT;
    good.data = memory;
    good.height_px = good.width_px = 2;
    const auto refused = [&](const dvsr_image* blurred, const dvsr_image* sharp, dvsr_status status,
                             const std::string& words) {
        CHECK(dvsr_deblur(session, blurred, nullptr, sharp, nullptr) == status);
        CHECK(std::string(dvsr_last_error()).find(words) == 0);
    };
    refused(nullptr, &good, DVSR_ARGUMENT_ERROR, "got NULL for blurred; wanted is a valid pointer");
    refused(&good, nullptr, DVSR_ARGUMENT_ERROR, "got NULL for sharp; wanted is a valid pointer");
    dvsr_image bad = good;
    bad.data = nullptr;
    refused(&bad, &good, DVSR_IMAGE_ERROR, "got null; wanted is a pointer to uint8 RGB samples");
    refused(&good, &bad, DVSR_IMAGE_ERROR, "got null for the result; wanted is a pointer");
    bad = good;
    bad.row_bytes = 5;
    refused(&bad, &good, DVSR_IMAGE_ERROR, "got rows of 5 bytes; wanted are at least 6 for 2 px");
    bad.row_bytes = -6;
    refused(&good, &bad, DVSR_IMAGE_ERROR, "got rows of -6 bytes for the result; wanted are");
    bad = good;
    bad.channels = 4;
    refused(&bad, &good, DVSR_IMAGE_ERROR, "got uint8 (2, 2, 4); wanted is uint8 RGB of shape");
    dvsr_session_close(session);
}

TEST_CASE("C refuses a bundle cut short and a newer one in the words of C++") {
    for (const bool newer : {false, true}) {
        const SmallBundle files;
        if (newer) {
            files.edit("manifest.json", "\"format\": 1", "\"format\": 2");
        } else {
            std::filesystem::resize_file(files.path() / "tables.json", 10);
        }
        std::string words;
        try {
            dvsr::Session(files.path(), "fake");
        } catch (const dvsr::Error& error) {
            words = error.what();
        }
        dvsr_session* session = nullptr;
        CHECK(dvsr_session_open(files.path().c_str(), "fake", &session) == DVSR_BUNDLE_ERROR);
        CHECK(session == nullptr);
        CHECK(dvsr_last_error() == words);
    }
}

TEST_CASE("C opens a session within a budget, and a budget of nothing is an error") {
    const SmallBundle files;
    dvsr_session* session = nullptr;
    dvsr_session_options options = DVSR_SESSION_OPTIONS_INIT;
    options.engine = "fake";
    options.memory_mib = 2;
    CHECK(dvsr_session_open_with(files.path().c_str(), &options, &session) == DVSR_OK);
    dvsr_session_close(session);
    options.memory_mib = 0;
    CHECK(dvsr_session_open_with(files.path().c_str(), &options, &session) == DVSR_OPTION_ERROR);
    CHECK(session == nullptr);
    options.struct_size = 0;
    CHECK(dvsr_session_open_with(files.path().c_str(), &options, &session) == DVSR_ARGUMENT_ERROR);
}

TEST_CASE("a program with a shorter options struct keeps the members it does not know") {
    const SmallBundle files;
    dvsr_session* session = nullptr;
    REQUIRE(dvsr_session_open(files.path().c_str(), "fake", &session) == DVSR_OK);
    std::uint8_t memory[3] = {1, 2, 3};
    dvsr_image picture = DVSR_IMAGE_INIT;
    picture.data = memory;
    picture.height_px = picture.width_px = 1;
    dvsr_options options = DVSR_OPTIONS_INIT;
    options.preset = "not looked at";
    options.struct_size = offsetof(dvsr_options, preset);
    CHECK(dvsr_deblur(session, &picture, &options, &picture, nullptr) == DVSR_OK);
    dvsr_session_close(session);
}
