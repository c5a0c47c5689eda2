#include "shipped.hpp"

#include <dlfcn.h>

namespace dvsr {

std::filesystem::path shipped_bundles() {
    static const char here = 0;
    Dl_info info{};
    std::filesystem::path library;
    if (dladdr(&here, &info) != 0 && info.dli_fname != nullptr) {
        std::error_code ignored;
        library = std::filesystem::weakly_canonical(info.dli_fname, ignored);
    }
    return (library.parent_path() / DVSR_BUNDLES_FROM_LIBRARY).lexically_normal();
}

}  // namespace dvsr
