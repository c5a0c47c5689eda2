#include <cstddef>
#include <cstdint>
#include <string>

#include "bundle.hpp"
#include "dvsr/error.hpp"

/// Whatever a manifest holds, it is read or refused with an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        dvsr::parse_manifest({reinterpret_cast<const char*>(data), size}, "manifest.json");
    } catch (const dvsr::Error&) {
        return 0;
    }
    return 0;
}
