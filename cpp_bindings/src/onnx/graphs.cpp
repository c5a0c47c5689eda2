#include "onnx/graphs.hpp"

#include <future>

namespace dvsr::onnx {
namespace {

/// One environment for the process: ONNX Runtime keeps its threads and logging there.
Ort::Env& environment() {
    static Ort::Env env = [] {
        // What goes wrong comes back as an exception.
        Ort::Env created(ORT_LOGGING_LEVEL_FATAL, "dvsr");
        // Official builds from 1.29 on tell Microsoft which models run where.
        created.DisableTelemetryEvents();
        return created;
    }();
    return env;
}

Ort::Session open(const std::filesystem::path& graph, const Ort::SessionOptions& options,
                  LateWorkers& workers) {
    Ort::SessionOptions own = options.Clone();
    workers.add_to(own);
    try {
        return Ort::Session(environment(), graph.c_str(), own);
    } catch (const Ort::Exception& error) {
        throw Error(ErrorKind::engine, "ONNX Runtime cannot open " + graph.string() + ": " +
                                           error.what() + "; export it again");
    }
}

template <std::size_t Axes>
Ort::Value tensor_over(const float* values, std::size_t count,
                       const std::array<std::int64_t, Axes>& shape) {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    return Ort::Value::CreateTensor<float>(memory, const_cast<float*>(values), count, shape.data(),
                                           shape.size());
}

}  // namespace

Ort::SessionOptions plain_options() {
    Ort::SessionOptions options;
    options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
    // A camera hands in one size after another: a plan for a fixed shape would be rebuilt.
    options.DisableMemPattern();
    return options;
}

Graph::Graph(const std::filesystem::path& file, const Ort::SessionOptions& options)
    : workers_(std::make_unique<LateWorkers>()), session_(open(file, options, *workers_)) {}

Graphs open_graphs(const Bundle& bundle, const Ort::SessionOptions& options) {
    const Manifest& manifest = bundle.manifest;
    auto step = std::async(std::launch::async,
                           [&] { return Graph(bundle.directory / manifest.step_file, options); });
    Graph predictor(bundle.directory / manifest.predictor_file, options);
    return {std::move(predictor), step.get()};
}

Ort::Value tensor(const Planes& planes) {
    return tensor_over<4>(planes.values.data(), planes.values.size(),
                          {planes.count, Planes::kChannels, planes.height_px, planes.width_px});
}

Ort::Value tensor(const Engine::FloatRow& row) {
    return tensor_over<1>(row.data(), row.size(), {Row::kColumns});
}

std::string shape_text(const Planes& planes) {
    return "(" + std::to_string(planes.count) + ", 3, " + std::to_string(planes.height_px) + ", " +
           std::to_string(planes.width_px) + ")";
}

}  // namespace dvsr::onnx
