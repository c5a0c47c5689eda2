#include "tensorrt/work_cache.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace dvsr {
namespace {

constexpr std::size_t kRunsToCompare = 3;
constexpr double kMib = 1 << 20;

std::string rounded(double value, int digits) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.*f", digits, value);
    return text.data();
}

}  // namespace

std::vector<WorkKey> WorkCache::keys() const {
    std::vector<WorkKey> keys;
    for (const Entry& entry : entries_) {
        keys.push_back(entry.key);
    }
    return keys;
}

std::int64_t WorkCache::held_bytes() const {
    std::int64_t held = scratch_.bytes();
    for (const Entry& entry : entries_) {
        held += entry.work->held_bytes();
    }
    return held;
}

const std::string& WorkCache::verdict(const WorkKey& key) const {
    return const_cast<WorkCache*>(this)->position(key)->verdict;
}

Work* WorkCache::find(const WorkKey& key) {
    const auto entry = position(key);
    if (entry == entries_.end()) {
        return nullptr;
    }
    entries_.splice(entries_.end(), entries_, entry);
    return entry->work.get();
}

Work& WorkCache::add(const WorkKey& key, const Needs& needs,
                     const std::function<std::unique_ptr<Work>()>& make) {
    make_room(key, needs);
    Entry entry;
    entry.key = key;
    try {
        entry.work = make();
    } catch (const DeviceMemoryError&) {
        if (entries_.empty()) {
            throw;
        }
        clear();
        entry.work = make();
    }
    entries_.push_back(std::move(entry));
    return *entries_.back().work;
}

Stages WorkCache::run(const WorkKey& key) {
    const auto entry = position(key);
    try {
        return run(*entry);
    } catch (...) {
        try {
            // Nothing of it may still be running when its memory goes.
            device_.synchronize();
        } catch (const Error&) {
            // The first error counts.
        }
        entries_.erase(entry);
        throw;
    }
}

void WorkCache::drop(const WorkKey& key) { entries_.erase(position(key)); }

void WorkCache::clear() {
    device_.synchronize();
    entries_.clear();
    scratch_.clear();
}

WorkCache::Entries::iterator WorkCache::position(const WorkKey& key) {
    return std::find_if(entries_.begin(), entries_.end(),
                        [&](const Entry& entry) { return entry.key == key; });
}

void WorkCache::make_room(const WorkKey& key, const Needs& needs) {
    const std::int64_t budget = budget_();
    while (!entries_.empty() && with(needs) > budget) {
        entries_.pop_front();
    }
    if (entries_.empty() && with(needs) > budget) {
        clear();
    }
    if (with(needs) > budget) {
        throw DeviceMemoryError(
            std::to_string(key.width_px) + "x" + std::to_string(key.height_px) + " with " +
            std::to_string(key.samples) + " samples takes " +
            rounded(static_cast<double>(needs.buffer_bytes + needs.scratch_bytes) / kMib, 0) +
            " MiB of GPU memory and there are " + rounded(static_cast<double>(budget) / kMib, 0) +
            "; give more with --memory (memory_mib), fewer samples, or a smaller picture");
    }
}

/// What would be held if work with `needs` were added.
std::int64_t WorkCache::with(const Needs& needs) const {
    const std::int64_t growth = std::max<std::int64_t>(needs.scratch_bytes - scratch_.bytes(), 0);
    return held_bytes() + growth + needs.buffer_bytes;
}

Stages WorkCache::run(Entry& entry) {
    entry.work->prepare();
    capture_if_due(entry);
    if (entry.graph) {
        return timed(launch(entry));
    }
    Stages stages = timed([&](const Mark& mark) { entry.work->enqueue(mark); });
    entry.warmed = entry.work->stamp();
    return stages;
}

/// See to it that `entry` has a graph of its work as it is now, or none.
void WorkCache::capture_if_due(Entry& entry) {
    const std::int64_t stamp = entry.work->stamp();
    if (entry.graph && entry.captured != stamp) {
        entry.graph.reset();
    }
    // The first run warms up: libraries allocate, compile and choose kernels then.
    if (entry.graph || entry.refused || entry.warmed != stamp) {
        return;
    }
    if (!entry.work->capturable()) {
        entry.refused = true;
        entry.verdict = "no graph: the library says that its work cannot be captured";
        return;
    }
    try {
        capture(entry);
    } catch (const Error& error) {
        entry.refused = true;
        entry.verdict = std::string("no graph: capturing failed: ") + error.what();
        return;
    }
    if (!entry.compared) {
        compare(entry);
    }
}

void WorkCache::capture(Entry& entry) {
    const std::int64_t stamp = entry.work->stamp();
    device_.begin_capture();
    try {
        entry.work->enqueue([](const char*) {});
    } catch (...) {
        device_.abandon_capture();
        throw;
    }
    entry.graph = Graph(device_, device_.end_capture());
    entry.captured = stamp;
}

/// Measure the graph against the same work put on the stream piece by piece.
void WorkCache::compare(Entry& entry) {
    const double with_graph = median_ms(launch(entry));
    const double without = median_ms([&](const Mark& mark) { entry.work->enqueue(mark); });
    entry.compared = true;
    entry.refused = with_graph >= without;
    entry.verdict = (entry.refused ? "no graph: " : "graph: ") + rounded(with_graph, 3) +
                    " ms as a graph, " + rounded(without, 3) + " ms without";
    if (entry.refused) {
        entry.graph.reset();
    }
}

double WorkCache::median_ms(const std::function<void(const Mark&)>& enqueue) {
    std::array<double, kRunsToCompare> runs{};
    for (double& run : runs) {
        for (const auto& stage : timed(enqueue)) {
            run += stage.second;
        }
    }
    std::sort(runs.begin(), runs.end());
    return runs[kRunsToCompare / 2];
}

std::function<void(const Mark&)> WorkCache::launch(const Entry& entry) {
    return [this, graph = entry.graph.get()](const Mark& mark) {
        device_.launch(graph);
        mark("graph");
    };
}

/// Run `enqueue` to its end; the milliseconds between its marks, on the device's clock.
Stages WorkCache::timed(const std::function<void(const Mark&)>& enqueue) {
    Stages stages;
    std::vector<Event> events;
    const auto record = [&] { events.emplace_back(device_, device_.record()); };
    record();
    enqueue([&](const char* stage) {
        stages.emplace_back(stage, 0.0);
        record();
    });
    device_.synchronize();
    for (std::size_t at = 0; at < stages.size(); ++at) {
        stages[at].second = device_.elapsed_ms(events[at].get(), events[at + 1].get());
    }
    return stages;
}

}  // namespace dvsr
