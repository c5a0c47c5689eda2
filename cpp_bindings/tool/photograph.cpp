#include "photograph.hpp"

#include <algorithm>
#include <array>
#include <iostream>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <string>

#include "dvsr/error.hpp"
#include "formats.hpp"
#include "whole_file.hpp"

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

[[noreturn]] void refuse(const std::string& message) {
    throw dvsr::Error(dvsr::ErrorKind::image, message);
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

/// Whether the end of a PNG or JPEG is missing. Decoders print their own complaint about it, and
/// some fill a JPEG's missing part with grey.
bool is_truncated(const Bytes& data) {
    const auto size = static_cast<std::ptrdiff_t>(data.size());
    if (starts_with(data, png_signature())) {
        return !contains(data.end() - std::min<std::ptrdiff_t>(64, size), data.end(), "IEND");
    }
    // A thumbnail has an end marker too, but at the file's start.
    return starts_with(data, "\xFF\xD8\xFF") &&
           !contains(data.begin() + size / 2, data.end(), "\xFF\xD9");
}

Bytes read_picture(const fs::path& path) {
    Bytes data = read_whole(path, "give a picture file");
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

/// Keeps OpenCV quiet while it decodes: our errors name the cause. Its log is one thing, what some
/// decoders of 4.6 write is another.
class Quiet {
public:
    Quiet() : errors_(std::cerr.rdbuf(nullptr)) {
        cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    }
    ~Quiet() { std::cerr.rdbuf(errors_); }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;

private:
    std::streambuf* errors_;
};

cv::Mat decode(const fs::path& path, const Bytes& data, int flags) {
    const Quiet quiet;
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
               picture_suffixes());
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

/// `picture` as EXIF's `orientation` wants it: mirrored at a diagonal first, then at its axes.
cv::Mat turned(const cv::Mat& picture, int orientation) {
    constexpr int kLeftRight = 1, kUpDown = 0, kBoth = -1;
    cv::Mat result = picture;
    if (orientation >= 5 && orientation <= 8) {
        cv::transpose(picture, result);
    }
    const auto flip = [&](int axes) { cv::flip(result, result, axes); };
    switch (orientation) {
        case 2:
        case 6:
            flip(kLeftRight);
            break;
        case 3:
        case 7:
            flip(kBoth);
            break;
        case 4:
        case 8:
            flip(kUpDown);
            break;
        default:
            break;
    }
    return result;
}

/// The colours, upright: not every OpenCV turns every format.
cv::Mat decode_upright(const fs::path& path, const Bytes& data, std::optional<int> orientation) {
    if (!orientation) {
        return decode(path, data, cv::IMREAD_COLOR);
    }
    return turned(decode(path, data, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION),
                  *orientation);
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
    try {
        const bool done = cv::imencode(suffix, stored_channels(photograph), encoded);
        encoded = with_metadata(encoded, suffix, photograph.metadata);
        return done;
    } catch (const std::exception&) {
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
    photograph.metadata = read_metadata(data);
    cv::cvtColor(decode_upright(path, data, photograph.metadata.orientation), photograph.image,
                 cv::COLOR_BGR2RGB);
    photograph.grayscale = stored.channels() == 1;
    if (stored.channels() == 4) {
        photograph.alpha = upright_alpha(stored, photograph.image);
    }
    return photograph;
}

void write_photograph(const fs::path& path, const Photograph& photograph) {
    check_output(path, !photograph.alpha.empty());
    Bytes encoded;
    if (!encode(lower_suffix(path), photograph, encoded)) {
        refuse(path.string() + " could not be encoded as " + path.extension().string() +
               "; choose another suffix");
    }
    write_whole(path, encoded);
}
