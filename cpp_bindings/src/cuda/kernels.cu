#include <cuda_fp16.h>

#include "cuda/device_code.hpp"
#include "cuda/kernels.hpp"

namespace dvsr::cuda {
namespace {

constexpr std::int64_t kThreadsPerBlock = 256;
constexpr std::int64_t kNormalsPerThread = 8;

/// Keeps a parameter out of the deduction, so that arguments convert to the kernel's own types.
template <typename Type>
struct Exactly {
    using type = Type;
};

template <typename... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), std::int64_t threads, cudaStream_t stream,
                   typename Exactly<Parameters>::type... arguments) {
    if (threads == 0) {
        return cudaSuccess;
    }
    void* pointers[] = {static_cast<void*>(&arguments)...};
    const auto blocks = static_cast<unsigned>((threads + kThreadsPerBlock - 1) / kThreadsPerBlock);
    return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(blocks),
                            dim3(static_cast<unsigned>(kThreadsPerBlock)), pointers, 0, stream);
}

device::u64 whole(std::int64_t value) { return static_cast<device::u64>(value); }

}  // namespace

template <typename Real>
cudaError_t to_model(const Pictures& from, Real* y, PaddedSize to, std::int64_t copies,
                     Verdict* verdict, cudaStream_t stream) {
    return launch(device::pad_to_model<Real>, from.count * to.height_px * to.width_px, stream, from,
                  y, to, whole(copies), verdict);
}

template <typename Real>
cudaError_t to_picture(const Real* guess, const Real* residual, PaddedSize from,
                       const MutablePictures& to, const Ticket* ticket, Verdict* verdict,
                       cudaStream_t stream) {
    return launch(device::crop_to_picture<Real>, to.count * to.height_px * to.width_px, stream,
                  guess, residual, from, to, ticket, verdict);
}

template cudaError_t to_model(const Pictures&, float*, PaddedSize, std::int64_t, Verdict*,
                              cudaStream_t);
template cudaError_t to_model(const Pictures&, __half*, PaddedSize, std::int64_t, Verdict*,
                              cudaStream_t);
template cudaError_t to_picture(const float*, const float*, PaddedSize, const MutablePictures&,
                                const Ticket*, Verdict*, cudaStream_t);
template cudaError_t to_picture(const __half*, const __half*, PaddedSize, const MutablePictures&,
                                const Ticket*, Verdict*, cudaStream_t);

cudaError_t normals(float* field, const Ticket* ticket, std::int64_t first, std::int64_t step,
                    std::int64_t samples, std::int64_t pictures, PaddedSize size,
                    cudaStream_t stream) {
    const std::int64_t threads_per_row =
        (3 * size.width_px + kNormalsPerThread - 1) / kNormalsPerThread;
    // The kernel takes the ticket as two numbers, as Python hands it in.
    return launch(device::normals, samples * size.height_px * threads_per_row, stream, field,
                  &ticket->number, whole(first), whole(step), whole(samples), whole(pictures),
                  whole(size.height_px), whole(size.width_px));
}

cudaError_t scale(const float* from, float* to, float factor, std::int64_t count,
                  cudaStream_t stream) {
    return launch(device::scale, count, stream, from, to, factor, whole(count));
}

cudaError_t accumulate(const float* values, float* mean, float* squares, std::int64_t seen,
                       std::int64_t samples, std::int64_t count, cudaStream_t stream) {
    return launch(device::accumulate, count, stream, values, mean, squares, whole(seen),
                  whole(samples), whole(count));
}

cudaError_t to_spread(const float* squares, PaddedSize from, float* spread, std::int64_t pictures,
                      PaddedSize to, std::int64_t samples, cudaStream_t stream) {
    return launch(device::crop_to_spread, pictures * to.height_px * to.width_px, stream, squares,
                  from, spread, whole(pictures), to, whole(samples));
}

}  // namespace dvsr::cuda
