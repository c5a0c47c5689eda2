#include "onnx/late_workers.hpp"

#include <memory>
#include <thread>

namespace dvsr::onnx {

struct LateWorkers::Worker {
    LateWorkers& owner;
    std::thread thread;
};

void LateWorkers::add_to(Ort::SessionOptions& options) {
    options.SetCustomCreateThreadFn(create);
    options.SetCustomThreadCreationOptions(this);
    options.SetCustomJoinThreadFn(join);
}

void LateWorkers::begin() {
    if (begun_.load(std::memory_order_acquire)) {
        return;
    }
    const std::lock_guard<std::mutex> lock(guard_);
    begun_.store(true, std::memory_order_release);
    changed_.notify_all();
}

void LateWorkers::wait() {
    std::unique_lock<std::mutex> lock(guard_);
    changed_.wait(lock, [this] { return begun_.load(std::memory_order_relaxed); });
}

OrtCustomThreadHandle LateWorkers::create(void* self, OrtThreadWorkerFn work, void* argument) {
    LateWorkers& owner = *static_cast<LateWorkers*>(self);
    auto worker = std::make_unique<Worker>(Worker{owner, {}});
    worker->thread = std::thread([&owner, work, argument] {
        owner.wait();
        work(argument);
    });
    return reinterpret_cast<OrtCustomThreadHandle>(worker.release());
}

void LateWorkers::join(OrtCustomThreadHandle handle) {
    const std::unique_ptr<Worker> worker(
        reinterpret_cast<Worker*>(const_cast<OrtCustomHandleType*>(handle)));
    worker->owner.begin();  // of a session that never ran
    worker->thread.join();
}

}  // namespace dvsr::onnx
