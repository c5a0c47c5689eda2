#include "noise_fields.hpp"

#include "dvsr/noise.hpp"

namespace dvsr {

std::shared_ptr<const Planes> NoiseFields::field(const FieldKey& key) {
    if (Field kept = find(key)) {
        return kept;
    }
    const auto drawn = std::make_shared<Planes>(key.height_px, key.width_px, key.samples);
    for (std::int64_t index = 0; index < key.samples; ++index) {
        normals(key.seed, key.sample + static_cast<std::uint32_t>(index), key.step, key.height_px,
                key.width_px, drawn->picture(index));
    }
    keep(key, drawn);
    return drawn;
}

NoiseFields::Field NoiseFields::find(const FieldKey& key) {
    const std::lock_guard<std::mutex> lock(guard_);
    const auto place = places_.find(key);
    if (place == places_.end()) {
        return nullptr;
    }
    by_age_.splice(by_age_.end(), by_age_, place->second);
    return place->second->field;
}

void NoiseFields::keep(const FieldKey& key, const Field& field) {
    const std::lock_guard<std::mutex> lock(guard_);
    // Another thread may have drawn it meanwhile.
    if (key.bytes() > capacity_bytes_ || places_.count(key) != 0) {
        return;
    }
    places_[key] = by_age_.insert(by_age_.end(), Kept{key, field});
    bytes_ += key.bytes();
    while (bytes_ > capacity_bytes_) {
        bytes_ -= by_age_.front().key.bytes();
        places_.erase(by_age_.front().key);
        by_age_.pop_front();
    }
}

}  // namespace dvsr
