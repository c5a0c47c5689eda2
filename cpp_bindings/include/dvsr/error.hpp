#pragma once

#include <stdexcept>
#include <string>

#include "dvsr/export.hpp"

namespace dvsr {

/// What an `Error` is about; the names are those of the Python package's exceptions.
enum class ErrorKind {
    image,   ///< a picture that cannot be used
    option,  ///< an option outside its range
    bundle,  ///< a bundle that is missing, damaged, too new, or that points outside itself
    engine,  ///< an engine that is unknown, not built in, or that failed to run
};

/// The one exception that this library throws on purpose. Its message says what came, what is
/// wanted, and what to do.
class DVSR_API Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

    ErrorKind kind() const noexcept { return kind_; }

private:
    ErrorKind kind_;
};

}  // namespace dvsr
