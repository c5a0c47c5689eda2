#include <algorithm>
#include <cstring>
#include <string>

#include "dvsr/dvsr.h"
#include "dvsr/dvsr.hpp"

struct dvsr_session {
    dvsr::Session session;
};

namespace {

thread_local std::string last_error;

struct ArgumentError {
    std::string message;
};

dvsr_status status_of(dvsr::ErrorKind kind) {
    switch (kind) {
        case dvsr::ErrorKind::image:
            return DVSR_IMAGE_ERROR;
        case dvsr::ErrorKind::option:
            return DVSR_OPTION_ERROR;
        case dvsr::ErrorKind::bundle:
            return DVSR_BUNDLE_ERROR;
        case dvsr::ErrorKind::engine:
            return DVSR_ENGINE_ERROR;
    }
    return DVSR_INTERNAL_ERROR;
}

dvsr_status failed(dvsr_status status, const char* message) noexcept {
    try {
        last_error = message;
    } catch (...) {
        last_error.clear();
    }
    return status;
}

/// Run `call`; no exception may reach a C program.
template <typename Call>
dvsr_status guarded(const Call& call) noexcept {
    try {
        call();
        return DVSR_OK;
    } catch (const dvsr::Error& error) {
        return failed(status_of(error.kind()), error.what());
    } catch (const ArgumentError& error) {
        return failed(DVSR_ARGUMENT_ERROR, error.message.c_str());
    } catch (const std::exception& error) {
        return failed(DVSR_INTERNAL_ERROR, error.what());
    } catch (...) {
        return failed(DVSR_INTERNAL_ERROR, "unknown exception");
    }
}

template <typename Pointer>
void require(const Pointer* pointer, const char* name) {
    if (pointer == nullptr) {
        throw ArgumentError{std::string("got NULL for ") + name + "; wanted is a valid pointer"};
    }
}

/// A copy of the members that the caller's version of the struct has, the rest as in `defaults`.
template <typename Struct>
Struct received(const Struct* given, Struct defaults, const char* name) {
    require(given, name);
    if (given->struct_size <= sizeof(std::size_t)) {
        throw ArgumentError{std::string("got ") + name +
                            " without its struct_size; wanted is one "
                            "that begins as its *_INIT macro does"};
    }
    std::memcpy(&defaults, given, std::min(given->struct_size, sizeof(Struct)));
    return defaults;
}

dvsr::Options options_of(const dvsr_options* given) {
    dvsr::Options options;
    if (given == nullptr) {
        return options;
    }
    const dvsr_options known = received(given, dvsr_options DVSR_OPTIONS_INIT, "options");
    if (known.steps != DVSR_FROM_PRESET) {
        options.steps = known.steps;
    }
    if (known.samples != DVSR_FROM_PRESET) {
        options.samples = known.samples;
    }
    options.seed = known.seed;
    if (known.preset != nullptr) {
        options.preset = known.preset;
    }
    if (known.self_ensemble != DVSR_FROM_PRESET) {
        if (known.self_ensemble != 0 && known.self_ensemble != 1) {
            throw dvsr::Error(dvsr::ErrorKind::option, "got self_ensemble " +
                                                           std::to_string(known.self_ensemble) +
                                                           "; wanted is 0, 1 or DVSR_FROM_PRESET");
        }
        options.self_ensemble = known.self_ensemble == 1;
    }
    if (known.strength != 0.0) {
        options.strength = known.strength;
    }
    return options;
}

dvsr_session* open_session(const char* bundle, const char* engine,
                           std::optional<std::int64_t> memory_mib) {
    return new dvsr_session{dvsr::Session(bundle == nullptr ? "" : bundle,
                                          engine == nullptr ? "auto" : engine, memory_mib)};
}

}  // namespace

dvsr_status dvsr_session_open(const char* bundle, const char* engine, dvsr_session** session) {
    return guarded([&] {
        require(session, "session");
        *session = nullptr;
        *session = open_session(bundle, engine, std::nullopt);
    });
}

dvsr_status dvsr_session_open_with(const char* bundle, const dvsr_session_options* options,
                                   dvsr_session** session) {
    return guarded([&] {
        require(session, "session");
        *session = nullptr;
        dvsr_session_options known = DVSR_SESSION_OPTIONS_INIT;
        if (options != nullptr) {
            known = received(options, known, "options");
        }
        std::optional<std::int64_t> memory_mib;
        if (known.memory_mib != DVSR_FREE_MEMORY) {
            memory_mib = known.memory_mib;
        }
        *session = open_session(bundle, known.engine, memory_mib);
    });
}

void dvsr_session_close(dvsr_session* session) { delete session; }

dvsr_status dvsr_deblur(const dvsr_session* session, const dvsr_image* blurred,
                        const dvsr_options* options, const dvsr_image* sharp, float* spread) {
    return guarded([&] {
        require(session, "session");
        const dvsr_image from = received(blurred, dvsr_image DVSR_IMAGE_INIT, "blurred");
        const dvsr_image to = received(sharp, dvsr_image DVSR_IMAGE_INIT, "sharp");
        session->session.deblur(
            {from.data, from.height_px, from.width_px, from.channels, from.row_bytes},
            {to.data, to.height_px, to.width_px, to.channels, to.row_bytes}, options_of(options),
            spread);
    });
}

const char* dvsr_engine(const dvsr_session* session) {
    return session == nullptr ? nullptr : session->session.engine().c_str();
}

dvsr_status dvsr_get_timings(const dvsr_session* session, dvsr_timings* timings) {
    return guarded([&] {
        require(session, "session");
        dvsr_timings known = received(timings, dvsr_timings DVSR_TIMINGS_INIT, "timings");
        const dvsr::Timings times = session->session.timings();
        known.predictor_ms = times.predictor_ms;
        known.noise_ms = times.noise_ms;
        known.steps_ms = times.steps_ms;
        known.total_ms = times.total_ms;
        std::memcpy(timings, &known, std::min(timings->struct_size, sizeof known));
    });
}

dvsr_status dvsr_normals(uint64_t seed, uint32_t sample, uint32_t step, int64_t height_px,
                         int64_t width_px, float* field) {
    return guarded([&] {
        require(field, "field");
        if (height_px < 1 || width_px < 1) {
            throw ArgumentError{"got " + std::to_string(width_px) + "x" +
                                std::to_string(height_px) + " px; wanted is at least one pixel"};
        }
        dvsr::normals(seed, sample, step, height_px, width_px, field);
    });
}

const char* dvsr_last_error(void) { return last_error.c_str(); }

const char* dvsr_version(void) { return dvsr::version(); }
