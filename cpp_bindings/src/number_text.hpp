#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

namespace dvsr {

/// `number` as Python's repr() shows it.
inline std::string number_text(double number) {
    if (std::isfinite(number)) {
        return nlohmann::json(number).dump();
    }
    return std::isnan(number) ? "nan" : number > 0.0 ? "inf" : "-inf";
}

}  // namespace dvsr
