#pragma once

#include <cstddef>
#include <memory>
#include <string>

struct evp_md_ctx_st;

namespace dvsr {

/// The SHA-256 of what is added, piece by piece.
class Sha256 {
public:
    Sha256();
    ~Sha256();

    void add(const void* data, std::size_t bytes);

    /// As 64 lower-case hexadecimal digits; ends the sum.
    std::string text();

private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const;
    };
    std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// The SHA-256 of `data`.
std::string sha256(const std::string& data);

}  // namespace dvsr
