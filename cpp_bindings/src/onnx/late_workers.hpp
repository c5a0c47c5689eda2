#pragma once

#include <onnxruntime_cxx_api.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace dvsr::onnx {

/// Lets the worker threads of one session begin no sooner than its first run. A worker without work
/// spins for tens of milliseconds before it sleeps, also while graphs are still being opened, whose
/// time that is: a fifth of the way to the first picture. Must outlive the session.
class LateWorkers {
public:
    LateWorkers() = default;
    LateWorkers(const LateWorkers&) = delete;
    LateWorkers& operator=(const LateWorkers&) = delete;

    /// Have sessions that are opened with `options` make their threads here.
    void add_to(Ort::SessionOptions& options);

    /// To be called before each run.
    void begin();

private:
    struct Worker;

    static OrtCustomThreadHandle create(void* self, OrtThreadWorkerFn work, void* argument);
    static void join(OrtCustomThreadHandle handle);

    void wait();

    std::atomic<bool> begun_{false};
    std::mutex guard_;
    std::condition_variable changed_;
};

}  // namespace dvsr::onnx
