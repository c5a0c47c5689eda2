// Engines in a bundle: only the right one is loaded, and what is wrong with others is said in the
// words of tests/runtime/plans.
#include "tensorrt/plan_store.hpp"

#include <fstream>

#include "expect_error.hpp"
#include "plan_bundle.hpp"

namespace fs = std::filesystem;
using dvsr::ErrorKind;
using dvsr::Gpu;
using dvsr::PlanIdentity;

namespace {

constexpr char kVersion[] = "1.7.1.116";
const Gpu kAmpere{"an Ampere", 86}, kAda{"an Ada", 89};

void expect_refusal(const PlanBundle& plans, const std::string& words, const Gpu& gpu = kAmpere) {
    expect_error(ErrorKind::engine, words,
                 [&] { plans.store.runnable("step", "tensorrt-rtx", kVersion, gpu); });
}

/// Leave one engine, of this identity.
void leave_only(const PlanBundle& plans, const PlanIdentity& identity) {
    plans.clear();
    plans.write(identity);
}

}  // namespace

TEST_CASE("an identity has the key that Python gives it") {
    PlanIdentity identity;
    identity.graph = "step";
    identity.graph_sha256 = std::string(64, 'a');
    identity.library = "tensorrt";
    identity.library_version = "10.16.1.11";
    identity.device = "NVIDIA \"Test\" é (sm86, Linux x86_64)";
    identity.targets = {80, 86};
    identity.precision = "float16";
    identity.profiles = {{{1, 3, 16, 16}, {2, 3, 720, 1280}, {4, 3, 1088, 1920}},
                         {{1, 3, 64, 64}, {1, 3, 64, 64}, {1, 3, 64, 64}}};
    identity.options.workspace_mib = 512;
    identity.options.tf32 = true;
    CHECK(identity.key() == "53684eea1d524cf53d6bf7cf237c7e41");
}

TEST_CASE("the engine for this GPU, version and graph is found and read") {
    const PlanBundle plans;
    const auto cards = plans.store.runnable("step", "tensorrt-rtx", kVersion, kAmpere);
    REQUIRE(cards.size() == 1);
    CHECK(cards[0].identity.key() == plans.identity("step").key());
    CHECK(cards[0].scratch_bytes == std::vector<std::int64_t>{65536});
    CHECK(plans.store.load(cards[0]) == "a plan, which nobody reads here");
}

TEST_CASE("an engine for Ampere and later serves them all") {
    const PlanBundle plans;
    PlanIdentity identity = plans.identity("step");
    identity.targets = {};
    identity.device = "sm80 and later";
    leave_only(plans, identity);
    CHECK(plans.store.runnable("step", "tensorrt-rtx", kVersion, kAda).size() == 1);
    expect_refusal(plans, "sm75", {"a Turing", 75});
}

TEST_CASE("an engine of TensorRT serves only the GPU that it was built on") {
    const PlanBundle plans;
    PlanIdentity identity = plans.identity("step");
    identity.library = "tensorrt";
    identity.targets = {};
    identity.device = kAmpere.text();
    leave_only(plans, identity);
    CHECK(plans.store.runnable("step", "tensorrt", kVersion, kAmpere).size() == 1);
    expect_error(ErrorKind::engine, "wanted is an Ada (sm89, Linux ",
                 [&] { plans.store.runnable("step", "tensorrt", kVersion, kAda); });
}

TEST_CASE("an engine for another GPU is refused with a command that serves both") {
    const PlanBundle plans;
    expect_refusal(plans, "device: it has sm86, wanted is an Ada (sm89", kAda);
    expect_refusal(
        plans, "--library tensorrt-rtx --target sm86,sm89 --min 64x64 --opt 64x64 --max 128x128",
        kAda);
}

TEST_CASE("a stale engine is refused naming what differs and the rebuild") {
    const PlanBundle plans;
    PlanIdentity identity = plans.identity("step");
    std::string named;
    SUBCASE("of another version of the library") {
        identity.library_version = "1.6";
        named = "library version: it has 1.6, wanted is 1.7.1.116); build it: python -m export.trt";
    }
    SUBCASE("of another graph") {
        identity.graph_sha256 = std::string(64, 'b');
        named = "graph sha256: it has bbbbbbbbbbbb, wanted is " +
                plans.identity("step").graph_sha256.substr(0, 12) + ")";
    }
    SUBCASE("of another precision") {
        identity.precision = "float16";
        named = "precision: it has float16, wanted is float32";
    }
    SUBCASE("without its weights") {
        identity.options.strip_weights = true;
        named = "plan: it has no weights (--strip-weights), wanted is one with weights";
    }
    leave_only(plans, identity);
    expect_refusal(plans, named);
}

TEST_CASE("a damaged plan is refused, also when it was damaged after it was found") {
    const PlanBundle plans;
    const auto cards = plans.store.runnable("step", "tensorrt-rtx", kVersion, kAmpere);
    std::ofstream(plans.store.directory() / cards[0].file()) << "cut";
    expect_refusal(plans, "plan: it has other bytes than its card describes, wanted is a whole");
    expect_error(ErrorKind::engine,
                 "is not the file that its card describes; build it again: python -m export.trt",
                 [&] { plans.store.load(cards[0]); });
}

TEST_CASE("of several engines those that fit are taken") {
    const PlanBundle plans;
    PlanIdentity old = plans.identity("step");
    old.library_version = "1.6";
    plans.write(old);
    const auto cards = plans.store.runnable("step", "tensorrt-rtx", kVersion, kAmpere);
    REQUIRE(cards.size() == 1);
    CHECK(cards[0].identity.library_version == kVersion);
}

TEST_CASE("without an engine the command that builds one is named") {
    const PlanBundle plans;
    expect_error(ErrorKind::engine, "(there are some of another library); build it: python -m",
                 [&] { plans.store.runnable("step", "tensorrt", kVersion, kAmpere); });
    plans.clear();
    expect_refusal(plans,
                   "holds no tensorrt-rtx engine of the step; build it: python -m "
                   "export.trt " +
                       plans.bundle.directory.string() + " --library tensorrt-rtx");
}

TEST_CASE("nothing is read through a link that leads out of the bundle") {
    for (const char* suffix : {".plan", ".json"}) {
        const PlanBundle plans;
        const SmallBundle elsewhere;
        const fs::path path = plans.store.directory() / (plans.identity("step").key() + suffix);
        fs::rename(path, elsewhere.path() / "outside");
        fs::create_symlink(elsewhere.path() / "outside", path);
        expect_refusal(plans, "build it");
    }
}

TEST_CASE("a card of a later format, under another name or damaged is no engine") {
    const PlanBundle plans;
    const PlanIdentity identity = plans.identity("step");
    plans.clear();
    fs::path card = plans.write(identity, 2).replace_extension(".json");
    expect_refusal(plans, "holds no tensorrt-rtx engine");
    plans.write(identity);
    fs::rename(card, card.parent_path() / (std::string(32, '0') + ".json"));
    expect_refusal(plans, "holds no tensorrt-rtx engine");
    for (const char* text : {"", "[]", "{\"format\": 1}", "{\"format\": 1, \"identity\": []}",
                             "{\"format\": 1, \"identity\": {\"graph\": 1}}", "\xff"}) {
        std::ofstream(card) << text;
        expect_refusal(plans, "holds no tensorrt-rtx engine");
    }
}

TEST_CASE("a card with shapes that no picture has is no engine") {
    const PlanBundle plans;
    PlanIdentity identity = plans.identity("step");
    for (const std::int64_t side : {std::int64_t{0}, std::int64_t{-8}, std::int64_t{1} << 40}) {
        identity.profiles[0].max[2] = side;
        leave_only(plans, identity);
        expect_refusal(plans, "holds no tensorrt-rtx engine");
    }
    identity.profiles.clear();
    leave_only(plans, identity);
    expect_refusal(plans, "holds no tensorrt-rtx engine");
}

TEST_CASE("of several profiles the one tuned for the nearest size is picked") {
    PlanIdentity identity = PlanBundle().identity("step");
    identity.profiles = {{{1, 3, 16, 16}, {1, 3, 16, 16}, {1, 3, 256, 256}},
                         {{1, 3, 16, 16}, {2, 3, 256, 256}, {2, 3, 256, 256}}};
    CHECK(dvsr::pick_profile("b", identity, {32, 32}, 1, 8) == 0);
    CHECK(dvsr::pick_profile("b", identity, {256, 240}, 1, 8) == 1);
    CHECK(dvsr::pick_profile("b", identity, {32, 32}, 2, 8) == 1);
}

TEST_CASE("a size that no profile takes names the nearest legal one and the rebuild") {
    PlanIdentity identity = PlanBundle().identity("step");
    identity.options.workspace_mib = 512;
    identity.options.tf32 = true;
    expect_error(ErrorKind::engine,
                 "got 2 x 256x96 for the step; its engine takes 64x64 .. 64x64 .. 128x128, batch "
                 "1; the nearest legal size is 128x96; to build one for 256x96 too: python -m "
                 "export.trt 'it'\"'\"'s here' --library tensorrt-rtx --target sm86 --min 64x64 "
                 "--opt 64x64 --max 256x128 --samples 1:1:2 --workspace 512 --tf32",
                 [&] {
                     dvsr::pick_profile("it's here", identity, {256, 96}, 2, 8);
                 });
    expect_error(ErrorKind::engine,
                 "got size 65x64; this model takes multiples of 8 on both sides: pad the picture "
                 "to 72x64",
                 [&] {
                     dvsr::pick_profile("b", identity, {65, 64}, 1, 8);
                 });
}
