#pragma once

/// Everything of the C++ library `dvsr`. It reads the bundles that `python -m export.onnx` writes.
#include "dvsr/error.hpp"
#include "dvsr/image.hpp"
#include "dvsr/noise.hpp"
#include "dvsr/session.hpp"
