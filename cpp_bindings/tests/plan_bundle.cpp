#include "plan_bundle.hpp"

#include <fstream>

#include "sha256.hpp"

using nlohmann::json;

PlanBundle::PlanBundle(const std::string& version) : version_(version) {
    write(identity("predictor"));
    write(identity("step"));
}

dvsr::PlanIdentity PlanBundle::identity(const std::string& graph) const {
    dvsr::PlanIdentity identity;
    identity.graph = graph;
    identity.graph_sha256 = bundle.manifest.files.at(graph + ".onnx").sha256;
    identity.library = "tensorrt-rtx";
    identity.library_version = version_;
    identity.device = "sm86";
    identity.targets = {86};
    identity.precision = "float32";
    identity.profiles = {{{1, 3, 64, 64}, {1, 3, 64, 64}, {1, 3, 128, 128}}};
    return identity;
}

std::filesystem::path PlanBundle::write(const dvsr::PlanIdentity& identity, int format) const {
    const std::string plan = "a plan, which nobody reads here";
    json profiles = json::array();
    for (const dvsr::Profile& profile : identity.profiles) {
        profiles.push_back({{"min", profile.min}, {"opt", profile.opt}, {"max", profile.max}});
    }
    const json options = {{"strip_weights", identity.options.strip_weights},
                          {"tf32", identity.options.tf32}};
    const json card = {{"format", format},
                       {"identity",
                        {{"graph", identity.graph},
                         {"graph_sha256", identity.graph_sha256},
                         {"library", identity.library},
                         {"library_version", identity.library_version},
                         {"device", identity.device},
                         {"targets", identity.targets},
                         {"precision", identity.precision},
                         {"profiles", profiles},
                         {"options", options}}},
                       {"plan", {{"bytes", plan.size()}, {"sha256", dvsr::sha256(plan)}}},
                       {"memory",
                        {{"scratch", std::vector<int>(identity.profiles.size(), 65536)},
                         {"bound", json::array()},
                         {"weights", 1},
                         {"persistent", 0}}}};
    std::filesystem::create_directories(store.directory());
    const std::filesystem::path path = store.directory() / (identity.key() + ".plan");
    std::ofstream(path, std::ios::binary) << plan;
    std::ofstream(std::filesystem::path(path).replace_extension(".json")) << card.dump(1);
    return path;
}
