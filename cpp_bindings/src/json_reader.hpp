#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace dvsr {

/// A place in a JSON document that answers typed questions. Wrong answers throw Error (bundle)
/// that names the file and the place, like "$.predictor.file".
class JsonReader {
public:
    JsonReader(const nlohmann::json& value, const std::filesystem::path& file,
               std::string place = "$")
        : value_(value), file_(file), place_(std::move(place)) {}

    bool has(const std::string& name) const;
    JsonReader at(const std::string& name) const;

    std::string text() const;
    std::int64_t integer() const;
    double number() const;
    bool boolean() const;
    const nlohmann::json& object() const;
    const nlohmann::json& array() const;

    [[noreturn]] void fail(const std::string& wanted) const;

private:
    const nlohmann::json& value_;
    const std::filesystem::path& file_;
    std::string place_;
};

/// Parse `text`, the content of `file`; throws Error (bundle). The result must outlive its readers.
nlohmann::json parse_json(const std::string& text, const std::filesystem::path& file);

}  // namespace dvsr
