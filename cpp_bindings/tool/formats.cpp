#include "formats.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>

#include "dvsr/error.hpp"

namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 4> kSuffixesWithAlpha = {".png", ".tif", ".tiff", ".webp"};
constexpr std::array<const char*, 7> kSuffixes = {".bmp", ".jpeg", ".jpg", ".png",
                                                  ".tif", ".tiff", ".webp"};

const std::string kPngEnd(
    "\0\0\0\0IEND\xae"
    "B`\x82",
    12);

[[noreturn]] void refuse(const std::string& message) {
    throw dvsr::Error(dvsr::ErrorKind::image, message);
}

template <typename Names>
std::string joined(const Names& names) {
    std::string text;
    for (const char* suffix : names) {
        text += (text.empty() ? "" : ", ") + std::string(suffix);
    }
    return text;
}

template <typename Names>
bool is_one_of(const Names& names, const std::string& suffix) {
    return std::find(names.begin(), names.end(), suffix) != names.end();
}

}  // namespace

const std::string& png_signature() {
    static const std::string signature = "\x89PNG\r\n\x1a\n";
    return signature;
}

std::string lower_suffix(const fs::path& path) {
    std::string suffix = path.extension().string();
    std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return suffix;
}

bool is_picture_name(const fs::path& path) { return is_one_of(kSuffixes, lower_suffix(path)); }

std::string picture_suffixes() { return joined(kSuffixes); }

bool is_whole_png(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string begins(png_signature().size(), '\0'), ends(kPngEnd.size(), '\0');
    file.read(begins.data(), static_cast<std::streamsize>(begins.size()));
    file.seekg(-static_cast<std::streamoff>(ends.size()), std::ios::end);
    file.read(ends.data(), static_cast<std::streamsize>(ends.size()));
    return file && begins == png_signature() && ends == kPngEnd;
}

void check_output(const fs::path& path, bool has_alpha) {
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    if (!is_picture_name(path)) {
        refuse(path.string() + " has the suffix '" + path.extension().string() +
               "'; wanted is one of " + joined(kSuffixes));
    }
    if (has_alpha && !is_one_of(kSuffixesWithAlpha, lower_suffix(path))) {
        refuse("got a picture with transparency, which " + path.extension().string() +
               " cannot hold; write one of " + joined(kSuffixesWithAlpha));
    }
    if (fs::is_directory(path)) {
        refuse(path.string() + " is a folder; give the name of the picture to write");
    }
    if (!fs::is_directory(folder)) {
        refuse("no folder " + folder.string() + " to write " + path.filename().string() +
               " into; create it first");
    }
    if (::access(folder.c_str(), W_OK) != 0) {
        refuse("no permission to write into " + folder.string() + "; choose another output");
    }
}
