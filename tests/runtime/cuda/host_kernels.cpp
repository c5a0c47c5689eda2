// runtime/cuda/kernels.cu compiled for the host: the same source, one thread after another.
#include <math.h>

#include <cstring>
#include <utility>

#define __global__
struct Index {
    unsigned x;
};
static Index blockIdx, threadIdx, blockDim;

#include "kernels.cu"

namespace {

template <class... Arguments, std::size_t... I>
void call(void (*kernel)(Arguments...), void** values, std::index_sequence<I...>) {
    kernel(*static_cast<Arguments*>(values[I])...);
}

template <class... Arguments>
int run(void (*kernel)(Arguments...), unsigned blocks, unsigned threads, void** values, int count) {
    if (count != static_cast<int>(sizeof...(Arguments))) return 2;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
            call(kernel, values, std::index_sequence_for<Arguments...>{});
    return 0;
}

}  // namespace

// Takes arguments as cuLaunchKernel does. 0: done, 1: no such kernel, 2: another number of them.
extern "C" int launch(const char* name, unsigned blocks, unsigned threads, void** values,
                      int count) {
#define DVSR_KERNEL(kernel) \
    if (!std::strcmp(name, #kernel)) return run(kernel, blocks, threads, values, count)
    DVSR_KERNEL(to_model);
    DVSR_KERNEL(to_picture);
    DVSR_KERNEL(scale);
    DVSR_KERNEL(accumulate);
    DVSR_KERNEL(to_spread);
    DVSR_KERNEL(normals);
    DVSR_KERNEL(recut);
    return 1;
}
