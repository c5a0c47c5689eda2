/* The library `dvsr` for C: an opaque session, error codes, structs that begin with their size.
 *
 *     dvsr_session *session;
 *     if (dvsr_session_open("bundle", "auto", &session) != DVSR_OK) puts(dvsr_last_error());
 *
 * Each struct begins with its size, so that a newer library knows which members a program has.
 * The *_INIT macros fill it in. */
#ifndef DVSR_DVSR_H
#define DVSR_DVSR_H

#include <stddef.h>
#include <stdint.h>

#if defined(DVSR_STATIC)
#define DVSR_C_API
#else
#define DVSR_C_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dvsr_session dvsr_session;

typedef enum dvsr_status {
    DVSR_OK = 0,
    DVSR_IMAGE_ERROR = 1,
    DVSR_OPTION_ERROR = 2,
    DVSR_BUNDLE_ERROR = 3,
    DVSR_ENGINE_ERROR = 4,
    DVSR_ARGUMENT_ERROR = 5, /* a null pointer, or a struct without its size */
    DVSR_INTERNAL_ERROR = 6  /* a bug of this library */
} dvsr_status;

/* A picture: 8-bit samples, rows from top to bottom, channels R, G, B side by side.
 * row_bytes leads from one row to the next; 0: rows lie side by side. */
typedef struct dvsr_image {
    size_t struct_size;
    uint8_t* data;
    int64_t height_px;
    int64_t width_px;
    int64_t channels;
    int64_t row_bytes;
} dvsr_image;
#define DVSR_IMAGE_INIT \
    { sizeof(dvsr_image), NULL, 0, 0, 3, 0 }

/* For steps, samples and self_ensemble: what the preset says. */
#define DVSR_FROM_PRESET INT64_MIN

/* How to deblur one picture. preset NULL: the bundle's default one. self_ensemble 1 draws each of
 * several samples on the picture turned another way, 0 does not. What is changed in the picture is
 * multiplied by strength, above 0 and at most 2; 0: by what the preset says. */
typedef struct dvsr_options {
    size_t struct_size;
    int64_t steps;
    int64_t samples;
    uint64_t seed;
    const char* preset;
    int64_t self_ensemble;
    double strength;
} dvsr_options;
#define DVSR_OPTIONS_INIT \
    { sizeof(dvsr_options), DVSR_FROM_PRESET, DVSR_FROM_PRESET, 0, NULL, DVSR_FROM_PRESET, 0.0 }

/* Milliseconds of the call that ended last. */
typedef struct dvsr_timings {
    size_t struct_size;
    double predictor_ms;
    double noise_ms;
    double steps_ms;
    double total_ms;
} dvsr_timings;
#define DVSR_TIMINGS_INIT \
    { sizeof(dvsr_timings), 0.0, 0.0, 0.0, 0.0 }

/* Open a bundle: a directory, a shipped bundle's name, or NULL for the default one. engine is an
 * engine's name, "auto", or NULL for "auto". *session is NULL after an error. */
DVSR_C_API dvsr_status dvsr_session_open(const char* bundle, const char* engine,
                                         dvsr_session** session);

/* For memory_mib: most of what the machine has free. */
#define DVSR_FREE_MEMORY INT64_MIN

/* How to open a session. engine as above. memory_mib bounds what one call may take; a picture that
 * needs more is cut into tiles that are blended at every step. */
typedef struct dvsr_session_options {
    size_t struct_size;
    const char* engine;
    int64_t memory_mib;
} dvsr_session_options;
#define DVSR_SESSION_OPTIONS_INIT \
    { sizeof(dvsr_session_options), NULL, DVSR_FREE_MEMORY }

/* dvsr_session_open with all that can be chosen; options NULL: nothing is. */
DVSR_C_API dvsr_status dvsr_session_open_with(const char* bundle,
                                              const dvsr_session_options* options,
                                              dvsr_session** session);

/* Let go of a session; NULL is fine. */
DVSR_C_API void dvsr_session_close(dvsr_session* session);

/* Deblur `blurred` into `sharp`, which has its size and may be the same picture. options NULL:
 * the preset's. spread, unless NULL, gets the standard deviation of the samples in grey levels,
 * float (height_px, width_px, 3). Safe from several threads. */
DVSR_C_API dvsr_status dvsr_deblur(const dvsr_session* session, const dvsr_image* blurred,
                                   const dvsr_options* options, const dvsr_image* sharp,
                                   float* spread);

/* What runs the graphs; lives as long as the session. NULL for NULL. */
DVSR_C_API const char* dvsr_engine(const dvsr_session* session);

DVSR_C_API dvsr_status dvsr_get_timings(const dvsr_session* session, dvsr_timings* timings);

/* The noise of one sample and step, float (3, height_px, width_px); see dvsr/noise.hpp. */
DVSR_C_API dvsr_status dvsr_normals(uint64_t seed, uint32_t sample, uint32_t step,
                                    int64_t height_px, int64_t width_px, float* field);

/* What went wrong in this thread's last call that failed; never NULL. */
DVSR_C_API const char* dvsr_last_error(void);

DVSR_C_API const char* dvsr_version(void);

#ifdef __cplusplus
}
#endif

#endif
