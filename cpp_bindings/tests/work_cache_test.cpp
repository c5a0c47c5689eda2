// Which work is kept, captured and replayed: read off the calls that a recording device gets.
#include "tensorrt/work_cache.hpp"

#include "expect_error.hpp"
#include "host_device.hpp"

using dvsr::DeviceMemory;
using dvsr::ErrorKind;
using dvsr::WorkKey;

namespace {

constexpr std::int64_t kKib = 1024;
using Calls = std::vector<std::string>;

WorkKey key(std::int64_t width_px) { return {"loop", 64, width_px, 1, false, 4, "a", "float16"}; }

/// Work of one job; `address` stands for the buffers and the context that it uses.
class Piece final : public dvsr::Work {
public:
    Piece(HostDevice& device, std::int64_t bytes, bool& closed)
        : closed_(closed), device_(device), bytes_(bytes), memory_(device, device.allocate(bytes)) {
        closed_ = false;
    }
    ~Piece() override { closed_ = true; }

    std::int64_t held_bytes() const override { return bytes_; }
    std::int64_t stamp() const override { return address; }
    bool capturable() override { return can_be_captured; }
    void prepare() override {}
    void enqueue(const dvsr::Mark& mark) override {
        if (refuses || (refuses_captured && device_.capturing())) {
            throw dvsr::Error(ErrorKind::engine, "the library refused");
        }
        device_.work("job", [this, used = address] { done.push_back(used); });
        mark("job");
    }

    std::int64_t address = 1;
    bool can_be_captured = true;
    bool refuses = false;
    bool refuses_captured = false;
    std::vector<std::int64_t> done;

private:
    bool& closed_;
    HostDevice& device_;
    std::int64_t bytes_;
    DeviceMemory memory_;
};

struct Bench {
    explicit Bench(std::int64_t budget_bytes = 100 * kKib) : budget(budget_bytes) {}

    Piece& add(std::int64_t width_px, std::int64_t bytes = kKib, std::int64_t scratch_bytes = 0) {
        return static_cast<Piece&>(cache.add(key(width_px), {bytes, scratch_bytes}, [&] {
            return std::make_unique<Piece>(device, bytes, closed[width_px]);
        }));
    }

    /// The calls of one run, but those that take the time.
    Calls calls_of_a_run(std::int64_t width_px = 8) {
        device.calls.clear();
        cache.run(key(width_px));
        Calls calls;
        for (const std::string& call : device.calls) {
            if (call != "synchronize") {
                calls.push_back(call);
            }
        }
        return calls;
    }

    std::int64_t budget;
    std::map<std::int64_t, bool> closed;
    HostDevice device;
    dvsr::Scratch scratch{device};
    dvsr::WorkCache cache{device, [this] { return budget; }, scratch};
};

}  // namespace

TEST_CASE("work is warmed up, then captured and compared, then only replayed") {
    Bench bench;
    const Piece& piece = bench.add(8);
    CHECK(bench.calls_of_a_run() == Calls{"job"});
    CHECK(bench.calls_of_a_run() == Calls{"begin_capture", "job", "end_capture", "launch", "launch",
                                          "launch", "job", "job", "job", "launch"});
    CHECK(bench.calls_of_a_run() == Calls{"launch"});
    CHECK(piece.done.size() == 1 + 7 + 1);
    CHECK(bench.cache.verdict(key(8)) == "graph: 0.500 ms as a graph, 1.000 ms without");
}

TEST_CASE("a graph is one stage and single calls are many") {
    Bench bench;
    bench.add(8);
    CHECK(bench.cache.run(key(8)) == dvsr::Stages{{"job", 1.0}});
    CHECK(bench.cache.run(key(8)) == dvsr::Stages{{"graph", 0.5}});
    CHECK(bench.device.events() == 0);
}

TEST_CASE("a graph that does not pay is left off and not tried again") {
    Bench bench;
    bench.device.graph_ms = 1.5;
    bench.add(8);
    bench.cache.run(key(8));
    bench.cache.run(key(8));
    CHECK(bench.device.graphs.empty());
    CHECK(bench.calls_of_a_run() == Calls{"job"});
    CHECK(bench.cache.verdict(key(8)) == "no graph: 1.500 ms as a graph, 1.000 ms without");
}

TEST_CASE("a graph is not replayed once an address or a context has changed") {
    Bench bench;
    Piece& piece = bench.add(8);
    for (int run = 0; run < 3; ++run) {
        bench.cache.run(key(8));
    }
    piece.done.clear();
    piece.address = 2;
    // Dropped, warmed up at the new address, and captured anew: never launched in between.
    CHECK(bench.calls_of_a_run() == Calls{"destroy", "job"});
    CHECK(bench.calls_of_a_run() == Calls{"begin_capture", "job", "end_capture", "launch"});
    CHECK(piece.done == std::vector<std::int64_t>{2, 2});
}

TEST_CASE("the least recently used work goes first") {
    Bench bench(3 * kKib);
    for (const std::int64_t width_px : {8, 16, 24}) {
        bench.add(width_px);
    }
    CHECK(bench.cache.find(key(8)) != nullptr);
    bench.add(32);
    CHECK(bench.cache.keys() == std::vector<WorkKey>{key(24), key(8), key(32)});
    CHECK(bench.closed[16]);
    CHECK(bench.device.held() == 3 * kKib);
    CHECK(bench.cache.held_bytes() == 3 * kKib);
}

TEST_CASE("size, samples, steps, table, precision and spread tell graphs apart") {
    Bench bench;
    bench.add(8);
    for (const WorkKey& other : {WorkKey{"step", 64, 8, 1, false, 4, "a", "float16"},
                                 WorkKey{"loop", 72, 8, 1, false, 4, "a", "float16"},
                                 WorkKey{"loop", 64, 8, 2, false, 4, "a", "float16"},
                                 WorkKey{"loop", 64, 8, 1, true, 4, "a", "float16"},
                                 WorkKey{"loop", 64, 8, 1, false, 5, "a", "float16"},
                                 WorkKey{"loop", 64, 8, 1, false, 4, "b", "float16"},
                                 WorkKey{"loop", 64, 8, 1, false, 4, "a", "float32"}}) {
        CHECK(bench.cache.find(other) == nullptr);
    }
    CHECK(bench.cache.find(key(8)) != nullptr);
}

TEST_CASE("a graph goes before the memory that it was captured over") {
    Bench bench(kKib);
    bench.add(8);
    bench.cache.run(key(8));
    bench.cache.run(key(8));
    bench.device.calls.clear();
    bench.add(16);
    CHECK(bench.device.calls == Calls{"destroy", "release", "allocate"});
}

TEST_CASE("more than the budget is refused with what it takes and what to do") {
    Bench bench(1024 * kKib);
    expect_error(ErrorKind::engine, "takes 3 MiB of GPU memory and there are 1; give more with",
                 [&] { bench.add(8, 1024 * kKib, 2048 * kKib); });
    CHECK(bench.cache.keys().empty());
}

TEST_CASE("scratch memory counts once for all work") {
    Bench bench(6 * kKib);
    bench.scratch.reserve(4 * kKib);
    bench.add(8, kKib, 4 * kKib);
    bench.add(16, kKib, 4 * kKib);
    CHECK(bench.cache.keys().size() == 2);
    CHECK(bench.cache.held_bytes() == 6 * kKib);
}

TEST_CASE("a device that refuses is asked again after everything else has gone") {
    Bench bench;
    bench.add(8, 2 * kKib);
    bench.device.capacity = 3 * kKib;
    bench.add(16, 2 * kKib);
    CHECK(bench.closed[8]);
    CHECK(bench.cache.keys() == std::vector<WorkKey>{key(16)});
}

TEST_CASE("a failing run lets its work go and the next one starts afresh") {
    Bench bench;
    bench.add(8).refuses = true;
    expect_error(ErrorKind::engine, "refused", [&] { bench.cache.run(key(8)); });
    CHECK(bench.closed[8]);
    CHECK(bench.device.held() == 0);
    CHECK(bench.device.events() == 0);
    bench.add(8);
    CHECK(bench.calls_of_a_run() == Calls{"job"});
}

TEST_CASE("where no graph can be made the work runs without one and says why") {
    Bench bench;
    Piece& piece = bench.add(8);
    bench.cache.run(key(8));
    bench.device.calls.clear();
    SUBCASE("the library says that it cannot be captured") {
        piece.can_be_captured = false;
        bench.cache.run(key(8));
        CHECK(bench.cache.verdict(key(8)).find("cannot be captured") != std::string::npos);
    }
    SUBCASE("the library refuses while capturing, and the capture is ended first") {
        piece.refuses_captured = true;
        bench.cache.run(key(8));
        CHECK(bench.device.calls[0] == "begin_capture");
        CHECK(bench.device.calls[1] == "abandon_capture");
        CHECK(bench.cache.verdict(key(8)).find("capturing failed: the library refused") !=
              std::string::npos);
    }
    SUBCASE("the graph cannot be made of what was captured") {
        bench.device.failing = {"end_capture"};
        bench.cache.run(key(8));
        CHECK(bench.cache.verdict(key(8)).find("end_capture failed") != std::string::npos);
    }
    CHECK(piece.done.size() == 2);
    CHECK(bench.calls_of_a_run() == Calls{"job"});
}
