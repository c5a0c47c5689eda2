#include "bundle.hpp"

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "small_bundle.hpp"

namespace fs = std::filesystem;
using dvsr::ErrorKind;

namespace {

void expect_refused(const SmallBundle& bundle, const std::string& words) {
    expect_error(ErrorKind::bundle, words, [&] { dvsr::open_bundle(bundle.path()); });
}

}  // namespace

TEST_CASE("a whole bundle opens") {
    const SmallBundle files;
    const dvsr::Bundle bundle = dvsr::open_bundle(files.path());
    CHECK(bundle.manifest.name == "small");
    CHECK(bundle.presets.at("triple").table.rows.size() == 3);
}

TEST_CASE("a folder without a manifest is no bundle") {
    expect_error(ErrorKind::bundle, "no manifest.json in it",
                 [] { dvsr::open_bundle(fs::temp_directory_path() / "no-such-bundle"); });
}

TEST_CASE("a newer bundle says so") {
    const SmallBundle files;
    files.edit("manifest.json", "\"format\": 1", "\"format\": 2");
    expect_refused(files, "has bundle format 2, this runtime reads up to 1; install a newer");
}

TEST_CASE("a manifest without a format is no bundle of ours") {
    const SmallBundle files;
    files.edit("manifest.json", "\"format\": 1", "\"format\": \"1\"");
    expect_refused(files, "has no integer 'format'");
}

TEST_CASE("a file that was cut short is found by its checksum") {
    const SmallBundle files;
    fs::resize_file(files.path() / "step.onnx", 3);
    expect_refused(files, "is not the file that manifest.json describes (3 bytes");
}

TEST_CASE("a description leaves the graphs alone, but not the tables") {
    const SmallBundle files;
    fs::remove(files.path() / "step.onnx");
    CHECK(dvsr::describe_bundle(files.path()).presets.size() == 2);
    fs::resize_file(files.path() / "tables.json", 3);
    expect_error(ErrorKind::bundle, "tables.json is not the file that manifest.json describes",
                 [&] { dvsr::describe_bundle(files.path()); });
}

TEST_CASE("a file that is gone is named") {
    const SmallBundle files;
    fs::remove(files.path() / "step.onnx");
    expect_refused(files, "lacks step.onnx");
}

TEST_CASE("names that climb out of the bundle are refused") {
    for (const std::string name : {"../step.onnx", "/etc/passwd", "a\\\\b"}) {
        const SmallBundle files;
        files.edit("manifest.json", "\"step.onnx\": {", "\"" + name + "\": {");
        expect_refused(files, "lies outside the bundle");
    }
}

TEST_CASE("a symbolic link out of the bundle is refused") {
    const SmallBundle files;
    const SmallBundle other;
    fs::remove(files.path() / "step.onnx");
    fs::create_symlink(other.path() / "step.onnx", files.path() / "step.onnx");
    expect_refused(files, "lies outside the bundle");
}

TEST_CASE("a graph without a checksum is refused") {
    const SmallBundle files;
    files.edit("manifest.json", "\"file\": \"step.onnx\"", "\"file\": \"other.onnx\"");
    expect_refused(files, "uses other.onnx but lists no checksum for it");
}

TEST_CASE("a default preset that is not there is refused") {
    const SmallBundle files;
    files.edit("manifest.json", "\"default_preset\": \"pair\"", "\"default_preset\": \"none\"");
    expect_refused(files, "names the default preset 'none'");
}

TEST_CASE("fields of another type are named with their place") {
    const SmallBundle files;
    files.edit("manifest.json", "\"name\": \"small\"", "\"name\": 5");
    expect_refused(files, "Expected `str`, got `number` - at `$.name`");
}

TEST_CASE("a size rule of zero is refused") {
    const SmallBundle files;
    files.edit("manifest.json", "\"size_multiple_px\": 8", "\"size_multiple_px\": 0");
    expect_refused(files, "wants sizes in multiples of 0 px");
}

TEST_CASE("tiling advice that cannot be is refused") {
    for (const std::string bytes : {"0", "-5", "1048577"}) {
        const SmallBundle files;
        files.edit("manifest.json", "\"working_bytes_per_px\": 1000",
                   "\"working_bytes_per_px\": " + bytes);
        expect_refused(files, "has working_bytes_per_px " + bytes + "; wanted are 1 to 1048576");
    }
}

TEST_CASE("memory that nobody measured means no tiles") {
    const SmallBundle files;
    files.edit("manifest.json", "\"working_bytes_per_px\": 1000", "\"working_bytes_per_px\": null");
    CHECK(!dvsr::open_bundle(files.path()).manifest.tiling.working_bytes_per_px);
}

TEST_CASE("every manifest cut short is an error, not a crash") {
    const SmallBundle files;
    const std::string whole = files.read("manifest.json");
    for (std::size_t size = 0; size + 1 < whole.size(); size += 7) {
        files.write("manifest.json", whole.substr(0, size));
        expect_refused(files, "manifest.json");
    }
}

TEST_CASE("tables cut short are an error, not a crash") {
    const SmallBundle files;
    const std::string whole = files.read("tables.json");
    for (std::size_t size = 0; size + 1 < whole.size(); size += 7) {
        expect_error(ErrorKind::bundle, "t.json cannot be read",
                     [&] { dvsr::parse_tables(whole.substr(0, size), "t.json"); });
    }
}

TEST_CASE("tables with other columns are refused") {
    const SmallBundle files;
    files.edit("tables.json", "\"level\"", "\"sigma\"");
    expect_refused(files, "wanted are level, from_z");
}

TEST_CASE("a row that is not seven numbers is refused") {
    const std::string head =
        R"({"columns":["level","from_z","from_output","keep","take","take_previous","noise"],)"
        R"("presets":{"p":{"samples":1,"start":1,"sampler":{},"rows":[)";
    expect_error(ErrorKind::bundle, "preset 'p' has a row that is not 7 numbers",
                 [&] { dvsr::parse_tables(head + "[1,2,3]]}}}", "t.json"); });
    expect_error(ErrorKind::bundle, "Expected `float`, got `string`",
                 [&] { dvsr::parse_tables(head + "[1,2,3,4,5,6,\"7\"]]}}}", "t.json"); });
}

TEST_CASE("an unknown preset is answered with the ones there are") {
    const SmallBundle files;
    const dvsr::Bundle bundle = dvsr::open_bundle(files.path());
    const std::string name = "none";
    expect_error(ErrorKind::option, "got preset 'none'; bundle 'small' has pair, triple",
                 [&] { bundle.preset_name(&name); });
}

TEST_CASE("steps pick a table of the same recipe, or none for zero") {
    const SmallBundle files;
    const dvsr::Bundle bundle = dvsr::open_bundle(files.path());
    const std::int64_t none = 0, three = 3, five = 5, many = 501;
    CHECK(bundle.table("pair", nullptr).rows.size() == 2);
    CHECK(bundle.table("pair", &three).rows.size() == 3);
    CHECK(bundle.table("pair", &none).rows.empty());
    expect_error(ErrorKind::option, "the bundle holds no such table; wanted are 0, or a preset",
                 [&] { bundle.table("pair", &five); });
    expect_error(ErrorKind::option, "got 501 steps; wanted are 0 to 500",
                 [&] { bundle.table("pair", &many); });
}

TEST_CASE("steps of another recipe are not mistaken for this one's") {
    const SmallBundle files;
    files.edit("tables.json", "\"steps\": 3", "\"eta\": 0.5, \"steps\": 3");
    const dvsr::Bundle bundle = dvsr::open_bundle(files.path());
    const std::int64_t three = 3;
    expect_error(ErrorKind::option, "pair (2), triple (3)", [&] { bundle.table("pair", &three); });
}

TEST_CASE("a preset's strength is 1 where it is left out, and in its range otherwise") {
    const SmallBundle files;
    CHECK(dvsr::open_bundle(files.path()).presets.at("pair").strength == 1.0);
    files.edit("tables.json", "\"pair\": {", "\"pair\": {\"strength\": 1.25, ");
    CHECK(dvsr::open_bundle(files.path()).presets.at("pair").strength == 1.25);
    files.edit("tables.json", "\"strength\": 1.25", "\"strength\": 2.5");
    expect_refused(files, "preset 'pair' has a strength that is not above 0 and at most 2");
}

TEST_CASE("a preset's self-ensemble is off where it is left out, and true or false otherwise") {
    const SmallBundle files;
    CHECK_FALSE(dvsr::open_bundle(files.path()).presets.at("pair").self_ensemble);
    files.edit("tables.json", "\"pair\": {", "\"pair\": {\"self_ensemble\": true, ");
    CHECK(dvsr::open_bundle(files.path()).presets.at("pair").self_ensemble);
    files.edit("tables.json", "\"self_ensemble\": true", "\"self_ensemble\": 1");
    expect_refused(files, "Expected `bool`, got `number` - at `$.presets.pair.self_ensemble`");
}
