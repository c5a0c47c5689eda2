#include "shipped.hpp"

#include <dlfcn.h>
#include <link.h>

namespace dvsr {

namespace fs = std::filesystem;

fs::path beside_this(const fs::path& relative) {
    static const char here = 0;
    Dl_info info{};
    link_map* object = nullptr;
    fs::path file;
    if (::dladdr1(&here, &info, reinterpret_cast<void**>(&object), RTLD_DL_LINKMAP) != 0) {
        // A program has no name there, and the one that it was called by need not be a path.
        const bool is_program = object->l_name[0] == '\0';
        std::error_code ignored;
        file = fs::weakly_canonical(is_program ? "/proc/self/exe" : object->l_name, ignored);
    }
    return (file.parent_path() / relative).lexically_normal();
}

fs::path shipped_bundles() { return beside_this(DVSR_BUNDLES_FROM_LIBRARY); }

}  // namespace dvsr
