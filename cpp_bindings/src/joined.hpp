#pragma once

#include <string>

namespace dvsr {

/// The names with commas between them, for messages.
template <typename Range>
std::string joined(const Range& names) {
    std::string text;
    for (const auto& name : names) {
        text += (text.empty() ? "" : ", ") + std::string(name);
    }
    return text;
}

}  // namespace dvsr
