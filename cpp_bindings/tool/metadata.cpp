#include "metadata.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <exiv2/exiv2.hpp>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr char kOrientation[] = "Exif.Image.Orientation";
constexpr char kDescription[] = "Exif.Image.ImageDescription";
constexpr std::array<const char*, 3> kTypes = {"image/jpeg", "image/png", "image/webp"};
constexpr std::array<const char*, 4> kSuffixes = {".jpeg", ".jpg", ".png", ".webp"};
constexpr std::size_t kLongestExifInJpeg = 65'527;  // one segment, less its length and marker

// 0.28 changed how profiles are handed over, and nothing else that is used here.
#if EXIV2_TEST_VERSION(0, 28, 0)
using Size = std::size_t;

void set_profile(Exiv2::Image& image, const Bytes& profile) {
    image.setIccProfile(Exiv2::DataBuf(profile.data(), profile.size()), false);
}
#else
using Size = long;

void set_profile(Exiv2::Image& image, const Bytes& profile) {
    Exiv2::DataBuf copy(profile.data(), static_cast<Size>(profile.size()));
    image.setIccProfile(copy, false);
}
#endif

/// Exiv2 tells on standard error what it thinks of a file; our errors name what matters.
void quieten() { Exiv2::LogMsg::setLevel(Exiv2::LogMsg::mute); }

auto open(const Bytes& file) {
    quieten();
    return Exiv2::ImageFactory::open(file.data(), static_cast<Size>(file.size()));
}

template <typename Names>
bool is_one_of(const Names& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// EXIF's number for how the picture is to be turned; 1: not at all.
int orientation_of(const Exiv2::ExifData& exif) {
    const auto found = exif.findKey(Exiv2::ExifKey(kOrientation));
    return found == exif.end() || found->count() == 0 ? 1 : static_cast<int>(found->toFloat());
}

Bytes encoded(Exiv2::ExifData exif) {
    Exiv2::Blob block;
    if (!exif.empty()) {
        Exiv2::ExifParser::encode(block, Exiv2::littleEndian, exif);
    }
    return block;
}

Bytes upright(Exiv2::ExifData exif) {
    Exiv2::ExifThumb(exif).erase();
    if (exif.findKey(Exiv2::ExifKey(kOrientation)) != exif.end()) {
        exif[kOrientation] = std::uint16_t{1};
    }
    return encoded(std::move(exif));
}

Bytes profile_in(Exiv2::Image& image) {
    std::ostringstream profile;
    image.printStructure(profile, Exiv2::kpsIccProfile);
    const std::string bytes = profile.str();
    return {bytes.begin(), bytes.end()};
}

Bytes content_of(Exiv2::BasicIo& io) {
    Bytes content(static_cast<std::size_t>(io.size()));
    io.seek(0, Exiv2::BasicIo::beg);
    io.read(content.data(), static_cast<Size>(content.size()));
    return content;
}

/// `file` with exactly this EXIF block and colour profile, either of which may be empty.
Bytes rewritten(const Bytes& file, const Bytes& exif, const Bytes& profile) {
    const auto image = open(file);
    image->readMetadata();
    image->clearExifData();
    if (!exif.empty()) {
        Exiv2::ExifParser::decode(image->exifData(), exif.data(),
                                  static_cast<std::uint32_t>(exif.size()));
    }
    if (!profile.empty()) {
        set_profile(*image, profile);
    }
    image->writeMetadata();
    return content_of(image->io());
}

/// A WebP with the header that metadata need. Exiv2 adds one where it lacks, but then writes a
/// profile with a wrong name (0.27.6).
Bytes extended_webp(const Bytes& file) { return rewritten(file, describing("-").exif, {}); }

void append_number(Bytes& data, std::uint32_t number) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
        data.push_back(static_cast<std::uint8_t>(number >> shift));
    }
}

/// A PNG with a colour profile behind its header, where Exiv2 would write one that has no name,
/// which is not allowed (PNG, 3rd edition, 11.3.2.3).
Bytes with_png_profile(const Bytes& file, const Bytes& profile) {
    constexpr std::ptrdiff_t header_end = 8 + 25;  // signature and IHDR
    constexpr std::size_t number_bytes = 4;
    const std::string begin("iCCPprofile\0\0", 13);  // kind, name, and deflate as the method
    uLongf size = ::compressBound(static_cast<uLong>(profile.size()));
    Bytes compressed(size);
    if (::compress(compressed.data(), &size, profile.data(), static_cast<uLong>(profile.size())) !=
        Z_OK) {
        throw std::runtime_error("zlib cannot compress the colour profile");
    }
    Bytes chunk;
    append_number(chunk, static_cast<std::uint32_t>(begin.size() - number_bytes + size));
    chunk.insert(chunk.end(), begin.begin(), begin.end());
    chunk.insert(chunk.end(), compressed.begin(),
                 compressed.begin() + static_cast<std::ptrdiff_t>(size));
    append_number(
        chunk, static_cast<std::uint32_t>(::crc32(0, chunk.data() + number_bytes,
                                                  static_cast<uInt>(chunk.size() - number_bytes))));
    Bytes result = file;
    result.insert(result.begin() + header_end, chunk.begin(), chunk.end());
    return result;
}

}  // namespace

Metadata read_metadata(const Bytes& file) {
    Metadata metadata;
    try {
        const auto image = open(file);
        if (!is_one_of(kTypes, image->mimeType())) {
            return metadata;
        }
        metadata.colour_profile = profile_in(*image);  // before a damaged EXIF block throws
        image->readMetadata();
        metadata.orientation = orientation_of(image->exifData());
        metadata.exif = upright(image->exifData());
    } catch (const std::exception&) {
        // What it has not read by now is damaged, or of a format that it does not know.
    }
    return metadata;
}

Bytes with_metadata(const Bytes& file, const std::string& suffix, const Metadata& metadata) {
    const bool is_jpeg = suffix == ".jpeg" || suffix == ".jpg";
    const bool too_long = is_jpeg && metadata.exif.size() > kLongestExifInJpeg;
    const Bytes exif = too_long ? Bytes() : metadata.exif;
    const Bytes& profile = metadata.colour_profile;
    if ((exif.empty() && profile.empty()) || !is_one_of(kSuffixes, suffix)) {
        return file;
    }
    if (suffix == ".png") {
        const Bytes described = exif.empty() ? file : rewritten(file, exif, {});
        return profile.empty() ? described : with_png_profile(described, profile);
    }
    if (suffix == ".webp") {
        return rewritten(extended_webp(file), exif, profile);
    }
    return rewritten(file, exif, profile);
}

Metadata describing(const std::string& text) {
    Exiv2::ExifData exif;
    exif[kDescription] = text;
    Metadata metadata;
    metadata.exif = encoded(std::move(exif));
    return metadata;
}
