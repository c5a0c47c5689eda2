#pragma once

#include "cuda/pictures.hpp"

// The kernels: those of runtime/cuda/kernels.cu, the one copy of the loop's arithmetic, and those
// that only C++ needs, because it pads and crops on the GPU. Compiled by nvcc with --fmad=false,
// and by any compiler in the tests, which define __global__ and the indices of a thread.
namespace dvsr::cuda::device {

#define DVSR_GLOBAL __global__
#include <kernels.cu>
#undef DVSR_GLOBAL

/// Where a thread's pixel lies in pictures (N, height, width).
struct Pixel {
    u64 picture, row, column;
};

DVSR_INLINE Pixel pixel_of(u64 index, u64 height, u64 width) {
    return {index / (height * width), index / width % height, index % width};
}

/// Where a channel of a pixel begins in float pictures (N, 3, height, width).
DVSR_INLINE u64 plane_index(const Pixel& pixel, u64 channel, const PaddedSize& size) {
    const u64 height = static_cast<u64>(size.height_px), width = static_cast<u64>(size.width_px);
    return ((pixel.picture * 3 + channel) * height + pixel.row) * width + pixel.column;
}

/// The place of red, green or blue (0, 1, 2) in a pixel.
DVSR_INLINE u64 place_of(u64 channel, Order order) {
    return order == Order::bgr ? 2 - channel : channel;
}

template <typename Real>
__global__ void pad_to_model(Pictures from, Real* y, PaddedSize to, u64 copies, Verdict* verdict) {
    const u64 index = index_of_thread();
    if (index == 0) {
        verdict->ticket = 0;
        verdict->not_finite = 0;
    }
    const u64 height = static_cast<u64>(to.height_px), width = static_cast<u64>(to.width_px);
    const u64 pictures = static_cast<u64>(from.count);
    if (index >= pictures * height * width) {
        return;
    }
    Pixel pixel = pixel_of(index, height, width);
    const unsigned char* source =
        from.samples + pixel.picture * static_cast<u64>(from.picture_bytes) +
        reflected(pixel.row, static_cast<u64>(from.height_px)) * static_cast<u64>(from.row_bytes) +
        3 * reflected(pixel.column, static_cast<u64>(from.width_px));
    const u64 first = pixel.picture;
    for (u64 channel = 0; channel < 3; ++channel) {
        const Real value = static_cast<Real>(to_level(source[place_of(channel, from.order)]));
        for (u64 copy = 0; copy < copies; ++copy) {
            pixel.picture = copy * pictures + first;
            y[plane_index(pixel, channel, to)] = value;
        }
    }
}

template <typename Real>
__global__ void crop_to_picture(const Real* guess, const Real* residual, PaddedSize from,
                                MutablePictures to, const Ticket* ticket, Verdict* verdict) {
    const u64 index = index_of_thread();
    if (index == 0 && ticket != nullptr) {
        verdict->ticket = ticket->number;
    }
    const u64 height = static_cast<u64>(to.height_px), width = static_cast<u64>(to.width_px);
    if (index >= static_cast<u64>(to.count) * height * width) {
        return;
    }
    const Pixel pixel = pixel_of(index, height, width);
    unsigned char* target = to.samples + pixel.picture * static_cast<u64>(to.picture_bytes) +
                            pixel.row * static_cast<u64>(to.row_bytes) + 3 * pixel.column;
    for (u64 channel = 0; channel < 3; ++channel) {
        const u64 at = plane_index(pixel, channel, from);
        float x = static_cast<float>(guess[at]);
        if (residual != nullptr) {
            x = x + static_cast<float>(residual[at]);
        }
        if (!is_finite(x)) {
            verdict->not_finite = 1;
        }
        target[place_of(channel, to.order)] = to_sample(x);
    }
}

__global__ void crop_to_spread(const float* squares, PaddedSize from, float* spread, u64 pictures,
                               PaddedSize to, u64 samples) {
    const u64 index = index_of_thread();
    const u64 height = static_cast<u64>(to.height_px), width = static_cast<u64>(to.width_px);
    if (index >= pictures * height * width) {
        return;
    }
    const Pixel pixel = pixel_of(index, height, width);
    for (u64 channel = 0; channel < 3; ++channel) {
        spread[3 * index + channel] =
            to_deviation(squares[plane_index(pixel, channel, from)], samples);
    }
}

}  // namespace dvsr::cuda::device
