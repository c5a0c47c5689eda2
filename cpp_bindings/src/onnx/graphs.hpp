#pragma once

#include <onnxruntime_cxx_api.h>

#include <string>

#include "dvsr/error.hpp"
#include "engine.hpp"

namespace dvsr::onnx {

/// The two graphs of a bundle, opened.
struct Graphs {
    Ort::Session predictor{nullptr};
    Ort::Session step{nullptr};
};

/// What every session of this library is opened with; providers may be added.
Ort::SessionOptions plain_options();

/// Open both graphs at once: optimising them is most of the time from start to first picture.
/// Throws Error (engine).
Graphs open_graphs(const Bundle& bundle, const Ort::SessionOptions& options);

/// A tensor over memory that stays with its owner. Inputs are only read, which ONNX Runtime's
/// signature cannot say.
Ort::Value tensor(const Planes& planes);
Ort::Value tensor(const Engine::FloatRow& row);

/// (N, C, H, W), for messages.
std::string shape_text(const Planes& planes);

/// Do `work` on pictures of the size of `y`; what ONNX Runtime throws becomes Error (engine).
template <typename Work>
void run(const Planes& y, const Work& work) {
    try {
        work();
    } catch (const Ort::Exception& error) {
        throw Error(ErrorKind::engine,
                    "ONNX Runtime failed on y " + shape_text(y) + ": " + error.what());
    }
}

}  // namespace dvsr::onnx
