#pragma once

#include <optional>
#include <vector>

#include "dvsr/session.hpp"

/// Ways to deblur a frame, from what was asked for down to the predictor alone, and what each
/// costs. A frame gets the best one that a budget affords.
class Ladder {
public:
    /// `budget_ms` 0: no budget, every frame gets `wanted`.
    Ladder(const dvsr::Options& wanted, double budget_ms);

    /// The way for the next frame.
    const dvsr::Options& choose();

    /// The frame of the last `choose` took so long.
    void took(double milliseconds);

private:
    struct Rung {
        dvsr::Options options;
        std::optional<double> cost_ms;  ///< smoothed; none before the first frame
        int frames_since = 0;           ///< frames that took another rung since it was measured
    };

    bool affordable(const Rung& rung) const;

    double budget_ms_;
    std::vector<Rung> rungs_;
    std::size_t chosen_ = 0;
};
