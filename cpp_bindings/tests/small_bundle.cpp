#include "small_bundle.hpp"

#include <stdlib.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "sha256.hpp"

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

json preset(int samples, int rows) {
    json table = json::array();
    for (int row = 1; row <= rows; ++row) {
        table.push_back({-1.0, 0.5, 1.0, 0.25, 0.75, 0.125, row < rows ? 0.5 : 0.0});
    }
    return {{"summary", "for tests"},
            {"samples", samples},
            {"sampler", {{"method", "ancestral"}, {"steps", rows}}},
            {"start", 0.5},
            {"rows", table}};
}

}  // namespace

SmallBundle::SmallBundle() {
    std::string pattern = (fs::temp_directory_path() / "dvsr-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
        throw std::runtime_error("cannot make a temporary folder");
    }
    path_ = pattern;
    const json manifest = {{"format", 1},
                           {"name", "small"},
                           {"precision", "float32"},
                           {"size_multiple_px", 8},
                           {"predictor", {{"file", "predictor.onnx"}}},
                           {"step", {{"file", "step.onnx"}}},
                           {"default_preset", "pair"},
                           {"tiling", {{"receptive_radius_px", 4}, {"working_bytes_per_px", 1000}}},
                           {"files", json::object()}};
    write("manifest.json", manifest.dump(1));
    write("predictor.onnx", "no graph");
    write("step.onnx", "no graph either");
    const json tables = {
        {"columns", {"level", "from_z", "from_output", "keep", "take", "take_previous", "noise"}},
        {"presets", {{"pair", preset(2, 2)}, {"triple", preset(1, 3)}}}};
    write("tables.json", tables.dump(1));
}

SmallBundle::~SmallBundle() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

std::string SmallBundle::read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(path_ / name, std::ios::binary).rdbuf();
    return text.str();
}

void SmallBundle::write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    if (name != "manifest.json") {
        json manifest = json::parse(read("manifest.json"));
        manifest["files"][name] = {{"bytes", text.size()}, {"sha256", dvsr::sha256(text)}};
        write("manifest.json", manifest.dump(1));
    }
}

void SmallBundle::edit(const std::string& name, const std::string& from,
                       const std::string& to) const {
    std::string text = read(name);
    const std::size_t at = text.find(from);
    if (at == std::string::npos) {
        throw std::runtime_error(name + " holds no " + from);
    }
    write(name, text.replace(at, from.size(), to));
}
