#include "picture_plugin.hpp"

#ifdef DVSR_PICTURE_PLUGIN

#include <dlfcn.h>

#include <string>

#include "dvsr/error.hpp"
#include "shipped.hpp"

namespace {

const PicturePlugin& load() {
    // Lazily: of the functions of 130 libraries a picture takes few.
    const std::string path = dvsr::beside_this(DVSR_PICTURE_PLUGIN).string();
    void* const library = ::dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
    void* const entry = library == nullptr ? nullptr : ::dlsym(library, "dvsr_picture_plugin");
    if (entry == nullptr) {
        throw dvsr::Error(dvsr::ErrorKind::image, std::string("cannot load what reads pictures: ") +
                                                      ::dlerror() +
                                                      "; install dvsr-deblur again, as a whole");
    }
    return *reinterpret_cast<decltype(&dvsr_picture_plugin)>(entry)();
}

}  // namespace

const PicturePlugin& load_picture_plugin() {
    static const PicturePlugin& plugin = load();
    return plugin;
}

#else

const PicturePlugin& load_picture_plugin() { return *dvsr_picture_plugin(); }

#endif
