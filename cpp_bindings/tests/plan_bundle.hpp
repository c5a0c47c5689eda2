#pragma once

#include <filesystem>
#include <string>

#include "bundle.hpp"
#include "small_bundle.hpp"
#include "tensorrt/plan_store.hpp"

/// A small bundle with an engine of each graph, as far as files can tell: its plans are no plans.
class PlanBundle {
public:
    explicit PlanBundle(const std::string& version = "1.7.1.116");

    SmallBundle files;
    dvsr::Bundle bundle = dvsr::open_bundle(files.path());
    dvsr::PlanStore store{bundle};

    /// The identity of the engine that is there for `graph`, for sm86 and 64 to 128 px a side.
    dvsr::PlanIdentity identity(const std::string& graph) const;

    /// Write a plan and its card; the path of the plan.
    std::filesystem::path write(const dvsr::PlanIdentity& identity, int format = 1) const;

    /// Remove all engines.
    void clear() const { std::filesystem::remove_all(store.directory()); }

private:
    std::string version_;
};
