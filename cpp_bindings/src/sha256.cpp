#include "sha256.hpp"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace dvsr {
namespace {

void check(int answer) {
    if (answer != 1) {
        throw std::runtime_error("libcrypto cannot compute SHA-256");
    }
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
    check(context_ != nullptr ? EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) : 0);
}

Sha256::~Sha256() = default;

void Sha256::add(const void* data, std::size_t bytes) {
    check(EVP_DigestUpdate(context_.get(), data, bytes));
}

std::string Sha256::text() {
    std::array<unsigned char, 32> digest{};
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const unsigned char byte : digest) {
        text += digits[byte >> 4];
        text += digits[byte & 0xF];
    }
    return text;
}

std::string sha256(const std::string& data) {
    Sha256 checksum;
    checksum.add(data.data(), data.size());
    return checksum.text();
}

}  // namespace dvsr
