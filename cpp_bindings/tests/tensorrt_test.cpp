// What of the TensorRT engine runs without a GPU, with the real library: the way to it, and how it
// ends. With a GPU and a bundle that holds plans for it (DVSR_TENSORRT_BUNDLE), the picture.
#include <cstdlib>
#include <fstream>

#include "dvsr/session.hpp"
#include "engine.hpp"
#include "expect_error.hpp"
#include "host_device.hpp"
#include "plan_bundle.hpp"
#include "tensorrt/cuda_device.hpp"
#include "tensorrt/tensorrt_networks.hpp"

using dvsr::ErrorKind;

namespace {

constexpr char kLibrary[] = DVSR_TENSORRT_LIBRARY;

std::optional<dvsr::Bundle> bundle_with_plans() {
    const char* given = std::getenv("DVSR_TENSORRT_BUNDLE");
    if (given == nullptr) {
        MESSAGE("not tried: DVSR_TENSORRT_BUNDLE names no bundle with plans");
        return std::nullopt;
    }
    return dvsr::open_bundle(given);
}

std::map<std::string, std::vector<dvsr::PlanCard>> cards_of(const dvsr::PlanStore& plans) {
    std::map<std::string, std::vector<dvsr::PlanCard>> cards;
    for (const dvsr::PlanCard& card : plans.cards()) {
        if (card.identity.library == kLibrary) {
            cards[card.identity.graph].push_back(card);
        }
    }
    return cards;
}

void expect_unreadable(const dvsr::PlanStore& plans, const std::string& words) {
    HostDevice device;
    expect_error(ErrorKind::engine, words,
                 [&] { dvsr::open_tensorrt_networks(plans, cards_of(plans), device, nullptr); });
}

}  // namespace

TEST_CASE("the library that is loaded has the version that the engines' identities have") {
    const std::string version = dvsr::tensorrt_version();
    MESSAGE(kLibrary << " " << version);
    CHECK(std::count(version.begin(), version.end(), '.') == 3);
}

TEST_CASE("without a GPU one line says so and what to take") {
    if (dvsr::first_gpu()) {
        MESSAGE("not tried: there is a GPU here");
        return;
    }
    const PlanBundle plans(dvsr::tensorrt_version());
    expect_error(ErrorKind::engine,
                 std::string(kLibrary) +
                     " needs an NVIDIA GPU and this machine shows no CUDA device; check the driver "
                     "with nvidia-smi, or take an engine that needs none, such as onnx-cpu",
                 [&] { dvsr::Session(plans.files.path(), kLibrary); });
    expect_error(ErrorKind::engine, "cudaSetDevice failed with cudaError",
                 [] { dvsr::open_cuda(); });
}

TEST_CASE("without a GPU, auto takes the engine that needs none") {
    if (dvsr::first_gpu()) {
        MESSAGE("not tried: there is a GPU here");
        return;
    }
    const PlanBundle plans(dvsr::tensorrt_version());
    CHECK_FALSE(dvsr::tensorrt_has_plans(plans.bundle));
}

TEST_CASE("a file that is no plan is an error with the library's words and the rebuild command") {
    const PlanBundle plans(dvsr::tensorrt_version());
    plans.clear();
    for (const char* graph : {"predictor", "step"}) {
        dvsr::PlanIdentity identity = plans.identity(graph);
        identity.library = kLibrary;
        plans.write(identity);
    }
    expect_unreadable(plans.store, "TensorRT cannot read the plan of the predictor; it said: ");
    expect_unreadable(plans.store, "build it again: python -m export.trt " +
                                       plans.bundle.directory.string() + " --library " + kLibrary +
                                       " --target sm86");
}

TEST_CASE(
    "a real plan without a GPU is an error with the library's words and the rebuild command") {
    const auto bundle = bundle_with_plans();
    if (!bundle || dvsr::first_gpu()) {
        return;
    }
    const dvsr::PlanStore plans(*bundle);
    REQUIRE(cards_of(plans).size() == 2);
    expect_unreadable(plans, "TensorRT cannot read the plan of the predictor; it said: ");
    expect_unreadable(plans, "; build it again: python -m export.trt ");
}

TEST_CASE("on a GPU the picture is that of ONNX Runtime, as single calls and as a graph") {
    const auto bundle = bundle_with_plans();
    if (!bundle || !dvsr::first_gpu()) {
        MESSAGE("not tried: a GPU and plans for it are needed");
        return;
    }
    const dvsr::Session device(bundle->directory, kLibrary), host(bundle->directory, "onnx-cpu");
    std::vector<std::uint8_t> samples;
    for (std::size_t at = 0; at < std::size_t{3} * 61 * 67; ++at) {
        samples.push_back(static_cast<std::uint8_t>(at * 37 + at / 5));
    }
    const dvsr::ImageView picture{samples.data(), 61, 67};
    const dvsr::Image expected = host.deblur(picture);
    for (int run = 0; run < 4; ++run) {
        const dvsr::Image found = device.deblur(picture);
        std::int64_t apart = 0;
        for (std::size_t at = 0; at < samples.size(); ++at) {
            const int difference = std::abs(int{found.samples[at]} - int{expected.samples[at]});
            // Two libraries add up in another order; the bundle's report holds how far that goes.
            CHECK(difference <= 2);
            apart += difference > 1 ? 1 : 0;
        }
        CHECK(apart <= 2);
    }
}
