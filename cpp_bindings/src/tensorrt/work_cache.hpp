#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tensorrt/device.hpp"

namespace dvsr {

/// What a captured graph is good for: anything else that changes is in memory, or a stamp.
struct WorkKey {
    std::string kind;  ///< "loop", "predictor" or "step"
    std::int64_t height_px = 0;
    std::int64_t width_px = 0;
    std::int64_t samples = 1;
    bool spread = false;
    std::size_t steps = 0;
    std::string table;  ///< checksum of the sampler's rows
    std::string precision;

    auto tied() const {
        return std::tie(kind, height_px, width_px, samples, spread, steps, table, precision);
    }
    bool operator==(const WorkKey& other) const { return tied() == other.tied(); }
};

/// Device memory of one piece of work: its own buffers, and the scratch that all share.
struct Needs {
    std::int64_t buffer_bytes = 0;
    std::int64_t scratch_bytes = 0;
};

/// Milliseconds by stage, in their order.
using Stages = std::vector<std::pair<std::string, double>>;

/// Called with the name of each stage when it has been put on the stream.
using Mark = std::function<void(const char* stage)>;

/// Buffers, contexts, and what is done with them. Gives everything back when it goes.
class Work {
public:
    virtual ~Work() = default;

    /// Device memory that it holds.
    virtual std::int64_t held_bytes() const = 0;
    /// Changes whenever an address or a context that the work uses does.
    virtual std::int64_t stamp() const = 0;
    /// Whether a graph can be made of it at all.
    virtual bool capturable() = 0;
    /// Do what must be done before each run and cannot be part of a graph.
    virtual void prepare() = 0;
    /// Put everything on the stream; throws Error (engine) where a library refuses.
    virtual void enqueue(const Mark& mark) = 0;
};

/// What is kept on the device from call to call: work by its key, and CUDA graphs of it.
///
/// Work is run as it is the first time (that warms it up), captured the second time, and replayed
/// from then on, unless measuring shows that single calls are faster. A graph holds addresses; so
/// it carries the stamp that its work had when it was captured, and is never launched once that
/// stamp has changed. The least recently used work goes first where `budget()` bytes would be
/// exceeded. Not safe from several threads.
class WorkCache {
public:
    WorkCache(Device& device, std::function<std::int64_t()> budget, Scratch& scratch)
        : device_(device), budget_(std::move(budget)), scratch_(scratch) {}

    /// What is kept, the least recently used first.
    std::vector<WorkKey> keys() const;

    /// Device memory of everything kept, the scratch memory that all share included.
    std::int64_t held_bytes() const;

    /// Why `key`, which is kept, runs as a graph or not, with the milliseconds that decided.
    const std::string& verdict(const WorkKey& key) const;

    /// The kept work of `key`, or null; it counts as used now.
    Work* find(const WorkKey& key);

    /// Keep what `make` makes as the work of `key`, which is not kept. Where the device refuses
    /// although the budget allowed it, everything else is let go first. Throws DeviceMemoryError.
    Work& add(const WorkKey& key, const Needs& needs,
              const std::function<std::unique_ptr<Work>()>& make);

    /// Run the kept work of `key` and wait for it. A graph is one stage, "graph". After an error
    /// the work is gone. Throws Error (engine).
    Stages run(const WorkKey& key);

    /// Let go of one piece of work and its graph.
    void drop(const WorkKey& key);

    /// Let go of everything, the scratch memory included.
    void clear();

private:
    struct Entry {
        WorkKey key;
        std::unique_ptr<Work> work;
        Graph graph;                 // goes before the work that it was captured of
        std::int64_t warmed = -1;    // the work's stamp when it was last run piece by piece
        std::int64_t captured = -1;  // its stamp when the graph was captured
        bool refused = false;        // no graph of it can be made, or none pays
        bool compared = false;
        std::string verdict = "not captured yet";
    };
    using Entries = std::list<Entry>;

    Entries::iterator position(const WorkKey& key);
    void make_room(const WorkKey& key, const Needs& needs);
    std::int64_t with(const Needs& needs) const;
    Stages run(Entry& entry);
    void capture_if_due(Entry& entry);
    void capture(Entry& entry);
    void compare(Entry& entry);
    double median_ms(const std::function<void(const Mark&)>& enqueue);
    std::function<void(const Mark&)> launch(const Entry& entry);
    Stages timed(const std::function<void(const Mark&)>& enqueue);

    Device& device_;
    std::function<std::int64_t()> budget_;
    Scratch& scratch_;
    Entries entries_;  // the least recently used first
};

}  // namespace dvsr
