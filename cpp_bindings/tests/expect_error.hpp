#pragma once

#include <doctest/doctest.h>

#include <string>

#include "dvsr/error.hpp"

/// `call` throws an Error of that kind whose message holds `words`.
template <typename Call>
void expect_error(dvsr::ErrorKind kind, const std::string& words, const Call& call) {
    try {
        call();
    } catch (const dvsr::Error& error) {
        INFO(std::string(error.what()));
        CHECK(error.kind() == kind);
        CHECK(std::string(error.what()).find(words) != std::string::npos);
        return;
    }
    FAIL("nothing was thrown; wanted: " << words);
}
