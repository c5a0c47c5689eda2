#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "planes.hpp"

namespace dvsr {

/// What the noise fields of `samples` samples in a row are a function of.
struct FieldKey {
    std::uint64_t seed;
    std::uint32_t sample;  ///< the first
    std::uint32_t step;
    std::int64_t height_px;
    std::int64_t width_px;
    std::int64_t samples = 1;

    std::int64_t bytes() const {
        return static_cast<std::int64_t>(sizeof(float)) * samples * Planes::kChannels * height_px *
               width_px;
    }
    bool operator<(const FieldKey& other) const { return tied() < other.tied(); }

private:
    std::tuple<std::uint64_t, std::uint32_t, std::uint32_t, std::int64_t, std::int64_t,
               std::int64_t>
    tied() const {
        return {seed, sample, step, height_px, width_px, samples};
    }
};

/// The fields used last, up to `capacity_bytes`: a camera keeps its seed, so each frame needs those
/// of the frame before. Safe from several threads.
class NoiseFields {
public:
    explicit NoiseFields(std::int64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

    /// The normals of `key`, a picture for each sample, kept or drawn now.
    std::shared_ptr<const Planes> field(const FieldKey& key);

private:
    using Field = std::shared_ptr<const Planes>;
    struct Kept {
        FieldKey key;
        Field field;
    };

    Field find(const FieldKey& key);
    void keep(const FieldKey& key, const Field& field);

    const std::int64_t capacity_bytes_;
    std::mutex guard_;
    std::list<Kept> by_age_;  // the one used last at the end
    std::map<FieldKey, std::list<Kept>::iterator> places_;
    std::int64_t bytes_ = 0;
};

}  // namespace dvsr
