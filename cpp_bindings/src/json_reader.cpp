#include "json_reader.hpp"

#include <cmath>
#include <limits>

#include "dvsr/error.hpp"

namespace dvsr {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& why) {
    throw Error(ErrorKind::bundle,
                file.string() + " cannot be read: " + why + "; copy or export it again");
}

}  // namespace

json parse_json(const std::string& text, const std::filesystem::path& file) {
    try {
        return json::parse(text);
    } catch (const json::exception& error) {
        refuse(file, error.what());
    }
}

void JsonReader::fail(const std::string& wanted) const {
    refuse(file_,
           "Expected `" + wanted + "`, got `" + value_.type_name() + "` - at `" + place_ + "`");
}

bool JsonReader::has(const std::string& name) const { return object().contains(name); }

JsonReader JsonReader::at(const std::string& name) const {
    const auto found = object().find(name);
    if (found == value_.end()) {
        refuse(file_, "Object missing required field `" + name + "` - at `" + place_ + "`");
    }
    return JsonReader(*found, file_, place_ + "." + name);
}

std::string JsonReader::text() const {
    if (!value_.is_string()) {
        fail("str");
    }
    return value_.get<std::string>();
}

std::int64_t JsonReader::integer() const {
    const bool too_large = value_.is_number_unsigned() &&
                           value_.get<std::uint64_t>() >
                               static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!value_.is_number_integer() || too_large) {
        fail("int");
    }
    return value_.get<std::int64_t>();
}

double JsonReader::number() const {
    if (!value_.is_number() || !std::isfinite(value_.get<double>())) {
        fail("float");
    }
    return value_.get<double>();
}

bool JsonReader::boolean() const {
    if (!value_.is_boolean()) {
        fail("bool");
    }
    return value_.get<bool>();
}

const json& JsonReader::object() const {
    if (!value_.is_object()) {
        fail("object");
    }
    return value_;
}

const json& JsonReader::array() const {
    if (!value_.is_array()) {
        fail("array");
    }
    return value_;
}

}  // namespace dvsr
