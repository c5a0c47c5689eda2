#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What a picture file says about its picture. Exiv2 reads and writes it, for the formats for which
/// Python does: JPEG, PNG and WebP; a build without Exiv2 knows nothing.
struct Metadata {
    std::vector<std::uint8_t> exif;            ///< block of an upright picture, or empty
    std::vector<std::uint8_t> colour_profile;  ///< ICC profile, or empty
    std::optional<int> orientation;  ///< EXIF's 1 to 8, as stored; none: left to the decoder
    bool profile_lost = false;       ///< there is a profile that this build cannot hand on
};

/// What `file` holds. Its EXIF block no longer asks for the picture to be turned, and has no
/// thumbnail, which would show the picture as it was; a damaged block is left out.
Metadata read_metadata(const std::vector<std::uint8_t>& file);

/// `file`, an encoded picture, with what of `metadata` a file of that `suffix` can hold. Throws
/// std::exception where that fails.
std::vector<std::uint8_t> with_metadata(const std::vector<std::uint8_t>& file,
                                        const std::string& suffix, const Metadata& metadata);

/// Metadata that hold nothing but `text` as the picture's description, in ASCII.
Metadata describing(const std::string& text);
