#pragma once

#include <cuda_runtime_api.h>

#include "cuda/pictures.hpp"

/// What the loop does between two networks, on a stream. All addresses are those of device memory;
/// float pictures are (N, 3, H, W) of the padded size. Every function only puts work on `stream`,
/// may be captured into a graph, and returns the launch's error.
///
/// `Real` is float or __half. Results are the CPU's (planes.cpp, noise.cpp) to the bit, those in
/// half its rounded ones.
namespace dvsr::cuda {

/// Pictures in the model's range [-1, 1], reflected at the bottom and right up to `to`. Each is
/// written `copies` times, all pictures of a copy together: one copy for each sample of a batch.
/// Clears `verdict`.
template <typename Real>
[[nodiscard]] cudaError_t to_model(const Pictures& from, Real* y, PaddedSize to,
                                   std::int64_t copies, Verdict* verdict, cudaStream_t stream);

/// The top left of `guess` plus `residual` (null for none) as pictures; notes in `verdict` what is
/// not finite. The last kernel of a run gets the `ticket` to pass on, others null.
template <typename Real>
[[nodiscard]] cudaError_t to_picture(const Real* guess, const Real* residual, PaddedSize from,
                                     const MutablePictures& to, const Ticket* ticket,
                                     Verdict* verdict, cudaStream_t stream);

/// Standard normals (samples * pictures, 3, height_px, width_px) of `step` for the samples from
/// `first` on, the same for every picture. The seed is that of `ticket`.
[[nodiscard]] cudaError_t normals(float* field, const Ticket* ticket, std::int64_t first,
                                  std::int64_t step, std::int64_t samples, std::int64_t pictures,
                                  PaddedSize size, cudaStream_t stream);

/// to[i] = factor * from[i] for `count` numbers; both may be the same.
[[nodiscard]] cudaError_t scale(const float* from, float* to, float factor, std::int64_t count,
                                cudaStream_t stream);

/// Takes `samples` fields of `count` numbers, `seen` having come before, into mean and sum of
/// squared deviations (Welford 1962). The first call needs neither cleared.
[[nodiscard]] cudaError_t accumulate(const float* values, float* mean, float* squares,
                                     std::int64_t seen, std::int64_t samples, std::int64_t count,
                                     cudaStream_t stream);

/// The standard deviation in grey levels of what `accumulate` took: the top left, float
/// (pictures, height_px, width_px, 3) of `to`, side by side.
[[nodiscard]] cudaError_t to_spread(const float* squares, PaddedSize from, float* spread,
                                    std::int64_t pictures, PaddedSize to, std::int64_t samples,
                                    cudaStream_t stream);

}  // namespace dvsr::cuda
