#include "journal_file.hpp"

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "dvsr/error.hpp"
#include "plan.hpp"
#include "whole_file.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kName[] = "dvsr-batch.json";

/// What is wrong with a journal, in the words in which Python's reader tells it.
class Mistake : public std::runtime_error {
public:
    Mistake(const std::string& what, const std::string& place)
        : std::runtime_error(what + (place == "$" ? "" : " - at `" + place + "`")) {}
};

std::string type_name(const json& value) {
    switch (value.type()) {
        case json::value_t::boolean:
            return "bool";
        case json::value_t::number_integer:
        case json::value_t::number_unsigned:
            return "int";
        case json::value_t::number_float:
            return "float";
        case json::value_t::string:
            return "str";
        default:
            return value.type_name();
    }
}

void expect(bool fits, const char* wanted, const json& value, const std::string& place) {
    if (!fits) {
        throw Mistake(std::string("Expected `") + wanted + "`, got `" + type_name(value) + "`",
                      place);
    }
}

/// A JSON object that holds the fields `required`, perhaps `optional`, and no others.
class Fields {
public:
    Fields(const json& value, std::string place, std::initializer_list<const char*> required,
           std::initializer_list<const char*> optional)
        : value_(value), place_(std::move(place)) {
        expect(value.is_object(), "object", value, place_);
        std::set<std::string> known(required.begin(), required.end());
        known.insert(optional.begin(), optional.end());
        for (const auto& item : value.items()) {
            if (known.count(item.key()) == 0) {
                throw Mistake("Object contains unknown field `" + item.key() + "`", place_);
            }
        }
        for (const char* name : required) {
            if (!value.contains(name)) {
                throw Mistake(std::string("Object missing required field `") + name + "`", place_);
            }
        }
    }

    const json& at(const char* name) const { return value_.at(name); }
    bool has(const char* name) const { return value_.contains(name); }
    std::string place(const char* name) const { return place_ + "." + name; }

    std::string text(const char* name) const {
        expect(at(name).is_string(), "str", at(name), place(name));
        return at(name).get<std::string>();
    }

    bool flag(const char* name) const {
        expect(at(name).is_boolean(), "bool", at(name), place(name));
        return at(name).get<bool>();
    }

    double number(const char* name) const {
        expect(at(name).is_number(), "float", at(name), place(name));
        return at(name).get<double>();
    }

    template <typename Number>
    Number integer(const char* name) const {
        expect(at(name).is_number_integer(), "int", at(name), place(name));
        return at(name).get<Number>();
    }

private:
    const json& value_;
    std::string place_;
};

Recipe parse_recipe(const json& value) {
    const Fields fields(value, "$.recipe",
                        {"bundle", "bundle_sha256", "engine", "preset", "steps", "samples", "seed"},
                        {"self_ensemble", "strength"});
    Recipe recipe;
    recipe.bundle = fields.text("bundle");
    recipe.bundle_sha256 = fields.text("bundle_sha256");
    recipe.engine = fields.text("engine");
    recipe.preset = fields.text("preset");
    recipe.steps = fields.integer<std::int64_t>("steps");
    recipe.samples = fields.integer<std::int64_t>("samples");
    recipe.seed = fields.integer<std::uint64_t>("seed");
    recipe.self_ensemble = fields.has("self_ensemble") && fields.flag("self_ensemble");
    if (fields.has("strength")) {
        recipe.strength = fields.number("strength");
    }
    return recipe;
}

std::set<std::string> parse_others(const json& value) {
    const std::string place = "$.others";
    expect(value.is_array(), "array", value, place);
    std::set<std::string> others;
    for (std::size_t at = 0; at < value.size(); ++at) {
        expect(value[at].is_string(), "str", value[at], place + "[" + std::to_string(at) + "]");
        others.insert(value[at].get<std::string>());
    }
    return others;
}

Journal parse(const std::vector<std::uint8_t>& data) {
    if (data.empty()) {
        throw Mistake("Input data was truncated", "$");
    }
    const json document = json::parse(data);
    const Fields fields(document, "$", {"format", "made_by", "recipe"}, {"others"});
    Journal journal;
    journal.format = fields.integer<std::int64_t>("format");
    journal.made_by = fields.text("made_by");
    journal.recipe = parse_recipe(fields.at("recipe"));
    if (fields.has("others")) {
        journal.others = parse_others(fields.at("others"));
    }
    return journal;
}

nlohmann::ordered_json to_json(const Journal& journal) {
    const Recipe& recipe = journal.recipe;
    return {{"format", journal.format},
            {"made_by", journal.made_by},
            {"recipe",
             {{"bundle", recipe.bundle},
              {"bundle_sha256", recipe.bundle_sha256},
              {"engine", recipe.engine},
              {"preset", recipe.preset},
              {"steps", recipe.steps},
              {"samples", recipe.samples},
              {"seed", recipe.seed},
              {"self_ensemble", recipe.self_ensemble},
              {"strength", recipe.strength}}},
            {"others", journal.others}};
}

}  // namespace

bool operator==(const Journal& one, const Journal& other) {
    return one.format == other.format && one.made_by == other.made_by &&
           one.recipe == other.recipe && one.others == other.others;
}

std::optional<Journal> read_journal(const fs::path& folder) {
    const fs::path path = plain(folder / kName);
    std::error_code unknown;
    if (fs::symlink_status(path, unknown).type() == fs::file_type::not_found) {
        return std::nullopt;
    }
    const std::vector<std::uint8_t> data = read_whole(path, "");
    Journal journal;
    try {
        journal = parse(data);
    } catch (const std::exception& error) {
        throw dvsr::Error(dvsr::ErrorKind::option,
                          path.string() + " is no journal that this version reads (" +
                              error.what() + "); give another folder, or delete that file");
    }
    if (journal.format != Journal::kFormat) {
        throw dvsr::Error(dvsr::ErrorKind::option,
                          path.string() + " has format " + std::to_string(journal.format) +
                              ", this version reads " + std::to_string(Journal::kFormat) +
                              "; give another folder");
    }
    return journal;
}

void write_journal(const fs::path& folder, const Journal& journal) {
    const fs::path path = plain(folder / kName);
    std::string text;
    try {
        text = to_json(journal).dump(1) + "\n";
    } catch (const json::exception&) {
        throw dvsr::Error(dvsr::ErrorKind::option,
                          "a picture in " + folder.string() +
                              " has a name that is not UTF-8; rename it, or give another folder");
    }
    write_whole(path, {text.begin(), text.end()});
}
