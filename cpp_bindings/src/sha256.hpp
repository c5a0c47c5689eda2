#pragma once

#include <string>

namespace dvsr {

/// Checksum of `data` as 64 hexadecimal digits.
std::string sha256(const std::string& data);

}  // namespace dvsr
