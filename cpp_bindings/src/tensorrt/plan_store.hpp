#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bundle.hpp"
#include "tensorrt/plan_identity.hpp"

namespace dvsr {

/// What lies beside a plan as `<key>.json`: a plan cannot be read without its GPU.
struct PlanCard {
    PlanIdentity identity;
    FileEntry plan;
    std::vector<std::int64_t> scratch_bytes;  ///< of an execution context, for each profile

    /// The plan's name in the `engines` directory.
    std::string file() const { return identity.key() + ".plan"; }
};

/// The `engines` directory of a bundle, by the rules and in the words of
/// `runtime/plans/store.py`: only the right engine is loaded, and what is wrong with others is
/// said. Refers to `bundle`.
class PlanStore {
public:
    explicit PlanStore(const Bundle& bundle);

    const Bundle& bundle() const { return bundle_; }
    const std::filesystem::path& directory() const { return directory_; }

    /// Every readable card whose name is its identity's hash, in the order of the names.
    std::vector<PlanCard> cards() const;

    /// The engines of `graph` that `library` in this `version` can run on `gpu`. Throws Error
    /// (engine) where there is none, naming in what the nearest one differs and the command that
    /// builds one.
    std::vector<PlanCard> runnable(const std::string& graph, const std::string& library,
                                   const std::string& version, const Gpu& gpu) const;

    /// The plan of `card`; throws Error (engine) where its file is damaged or gone.
    std::string load(const PlanCard& card) const;

private:
    std::optional<PlanCard> read(const std::filesystem::path& path) const;
    std::optional<std::string> plan(const PlanCard& card) const;
    std::optional<std::string> bytes(const std::filesystem::path& path) const;
    std::vector<std::string> obstacles(const PlanCard& card, const std::string& version,
                                       const Gpu& gpu) const;

    const Bundle& bundle_;
    std::filesystem::path directory_;
};

}  // namespace dvsr
