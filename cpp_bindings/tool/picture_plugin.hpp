#pragma once

#include "bench.hpp"
#include "worker.hpp"

/// The half of the tool that decodes and encodes pictures. Loading OpenCV with the libraries behind
/// it is most of what happens before `main` where they are linked; as a plugin they load while the
/// session opens.
struct PicturePlugin {
    decltype(&::deblur_file) deblur_file;
    decltype(&::bench) bench;
};

extern "C" {
/// What the plugin, or the tool itself where everything is linked into it, has to offer.
const PicturePlugin* dvsr_picture_plugin();
}

/// Load the plugin if that has not been done. Throws dvsr::Error (image).
const PicturePlugin& load_picture_plugin();
