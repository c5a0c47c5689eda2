#include "ladder.hpp"

namespace {

// One frame that another program disturbed must not end a rung; a new load must within a few.
constexpr double kShareOfNewest = 0.3;
// What was too slow gets another chance after so many frames: the load may have gone.
constexpr int kFramesUntilRetry = 100;

}  // namespace

Ladder::Ladder(const dvsr::Options& wanted, double budget_ms) : budget_ms_(budget_ms) {
    rungs_.push_back({wanted, std::nullopt});
    if (budget_ms > 0.0) {
        dvsr::Options one_sample = wanted, predictor = wanted;
        one_sample.samples = 1;
        predictor.samples = 1;
        predictor.steps = 0;
        rungs_.push_back({one_sample, std::nullopt});
        rungs_.push_back({predictor, std::nullopt});
    }
}

bool Ladder::affordable(const Rung& rung) const {
    return !rung.cost_ms || *rung.cost_ms <= budget_ms_ || rung.frames_since >= kFramesUntilRetry;
}

const dvsr::Options& Ladder::choose() {
    chosen_ = 0;
    while (chosen_ + 1 < rungs_.size() && !affordable(rungs_[chosen_])) {
        ++chosen_;
    }
    return rungs_[chosen_].options;
}

void Ladder::took(double milliseconds) {
    for (Rung& rung : rungs_) {
        ++rung.frames_since;
    }
    Rung& rung = rungs_[chosen_];
    const double before = rung.cost_ms.value_or(milliseconds);
    rung.cost_ms = before + kShareOfNewest * (milliseconds - before);
    rung.frames_since = 0;
}
