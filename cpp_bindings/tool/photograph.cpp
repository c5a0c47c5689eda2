#include "photograph.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>

#include "dvsr/error.hpp"
#include "whole_file.hpp"

// Since 5.0 OpenCV hands out the colour profile of a file.
#if CV_VERSION_MAJOR >= 5
#define DVSR_OPENCV_HAS_PROFILES
#endif

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::array<const char*, 4> kSuffixesWithAlpha = {".png", ".tif", ".tiff", ".webp"};
constexpr std::array<const char*, 7> kSuffixes = {".bmp", ".jpeg", ".jpg", ".png",
                                                  ".tif", ".tiff", ".webp"};

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

std::string lower_suffix(const fs::path& path) {
    std::string suffix = path.extension().string();
    std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return suffix;
}

// Bytes of a file are unsigned and the letters of a literal are not: 0xFF would not equal "\xFF".
bool same(std::uint8_t byte, char letter) { return byte == static_cast<std::uint8_t>(letter); }

bool contains(Bytes::const_iterator first, Bytes::const_iterator last, const std::string& text) {
    return std::search(first, last, text.begin(), text.end(), same) != last;
}

bool starts_with(const Bytes& data, const std::string& text) {
    return data.size() >= text.size() &&
           std::equal(text.begin(), text.end(), data.begin(),
                      [](char l, std::uint8_t b) { return same(b, l); });
}

/// A PNG without its end, or a JPEG whose last scan has no end. The decoders would make a half
/// grey picture of these and complain on their own.
bool is_truncated(const Bytes& data) {
    if (starts_with(data, "\x89PNG\r\n\x1a\n")) {
        const auto tail = std::min<std::ptrdiff_t>(64, static_cast<std::ptrdiff_t>(data.size()));
        return !contains(data.end() - tail, data.end(), "IEND");
    }
    if (starts_with(data, "\xFF\xD8\xFF")) {
        const std::string scan = "\xFF\xDA";
        const auto last = std::find_end(data.begin(), data.end(), scan.begin(), scan.end(), same);
        return !contains(last, data.end(), "\xFF\xD9");
    }
    return false;
}

#if !defined(DVSR_OPENCV_HAS_PROFILES)
bool has_profile(const Bytes& data) {
    for (const char* mark : {"iCCP", "ICC_PROFILE", "ICCP"}) {
        if (contains(data.begin(), data.end(), mark)) {
            return true;
        }
    }
    return false;
}
#endif

Bytes read_picture(const fs::path& path) {
    Bytes data = read_whole(path);
    if (data.empty() || is_truncated(data)) {
        refuse(path.string() + " is " + (data.empty() ? "empty" : "truncated") +
               "; wanted is a whole picture");
    }
    return data;
}

/// The names that numpy has for OpenCV's depths, in their order.
std::string depth_name(int depth) {
    constexpr std::array<const char*, 8> names = {"uint8", "int8",    "uint16",  "int16",
                                                  "int32", "float32", "float64", "float16"};
    const auto at = static_cast<std::size_t>(depth);
    return at < names.size() ? names[at] : cv::typeToString(depth);
}

cv::Mat decode(const fs::path& path, const Bytes& data, int flags) {
    cv::Mat picture;
    try {
        picture = cv::imdecode(data, flags);
    } catch (const cv::Exception&) {
        picture.release();  // it says no more than an empty picture does
    }
    if (picture.empty()) {
        refuse(path.string() +
               " is no readable picture (truncated, damaged or of unknown format); wanted is a "
               "whole file of " +
               joined(kSuffixes));
    }
    return picture;
}

cv::Mat upright_alpha(const cv::Mat& stored, const cv::Mat& image) {
    if (stored.size() != image.size()) {
        refuse("got a turned picture with transparency, " + std::to_string(stored.cols) + "x" +
               std::to_string(stored.rows) +
               " px; wanted is one that is stored upright: rotate it first");
    }
    cv::Mat alpha;
    cv::extractChannel(stored, alpha, 3);
    return alpha;
}

void find_profile(const Bytes& data, Photograph& photograph) {
#if defined(DVSR_OPENCV_HAS_PROFILES)
    std::vector<int> kinds;
    std::vector<Bytes> payloads;
    cv::imdecodeWithMetadata(data, kinds, payloads, cv::IMREAD_COLOR);
    for (std::size_t at = 0; at < kinds.size(); ++at) {
        if (kinds[at] == cv::IMAGE_METADATA_ICCP) {
            photograph.colour_profile = payloads[at];
        }
    }
#else
    photograph.profile_lost = has_profile(data);
#endif
}

cv::Mat stored_channels(const Photograph& photograph) {
    cv::Mat pixels;
    if (photograph.grayscale) {
        cv::cvtColor(photograph.image, pixels, cv::COLOR_RGB2GRAY);
        return pixels;
    }
    cv::cvtColor(photograph.image, pixels, cv::COLOR_RGB2BGR);
    if (!photograph.alpha.empty()) {
        cv::Mat merged;
        cv::merge(std::vector<cv::Mat>{pixels, photograph.alpha}, merged);
        return merged;
    }
    return pixels;
}

bool encode(const std::string& suffix, const Photograph& photograph, Bytes& encoded) {
    const cv::Mat pixels = stored_channels(photograph);
    try {
#if defined(DVSR_OPENCV_HAS_PROFILES)
        if (!photograph.colour_profile.empty() && suffix != ".bmp") {
            const std::vector<int> kinds{cv::IMAGE_METADATA_ICCP};
            const std::vector<Bytes> payloads{photograph.colour_profile};
            return cv::imencodeWithMetadata(suffix, pixels, kinds, payloads, encoded);
        }
#endif
        return cv::imencode(suffix, pixels, encoded);
    } catch (const cv::Exception&) {
        return false;
    }
}

}  // namespace

Photograph read_photograph(const fs::path& path) {
    const Bytes data = read_picture(path);
    // Colours and alpha need two readings: only the colour reading honours the orientation.
    const cv::Mat stored = decode(path, data, cv::IMREAD_UNCHANGED);
    if (stored.depth() != CV_8U) {
        refuse(path.string() + " has " + depth_name(stored.depth()) +
               " samples; wanted are 8 bits a channel: convert it first");
    }
    Photograph photograph;
    cv::cvtColor(decode(path, data, cv::IMREAD_COLOR), photograph.image, cv::COLOR_BGR2RGB);
    photograph.grayscale = stored.channels() == 1;
    if (stored.channels() == 4) {
        photograph.alpha = upright_alpha(stored, photograph.image);
    }
    find_profile(data, photograph);
    return photograph;
}

void write_photograph(const fs::path& path, const Photograph& photograph) {
    check_output(path, &photograph);
    Bytes encoded;
    if (!encode(lower_suffix(path), photograph, encoded)) {
        refuse(path.string() + " could not be encoded as " + path.extension().string() +
               "; choose another suffix");
    }
    write_whole(path, encoded);
}

bool is_picture_name(const fs::path& path) { return is_one_of(kSuffixes, lower_suffix(path)); }

std::string picture_suffixes() { return joined(kSuffixes); }

void check_output(const fs::path& path, const Photograph* photograph) {
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    if (!is_picture_name(path)) {
        refuse(path.string() + " has the suffix '" + path.extension().string() +
               "'; wanted is one of " + joined(kSuffixes));
    }
    const bool has_alpha = photograph != nullptr && !photograph->alpha.empty();
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
