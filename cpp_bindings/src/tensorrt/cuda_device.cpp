#include "tensorrt/cuda_device.hpp"

#include <cuda_runtime_api.h>

#include "cuda/kernels.hpp"

namespace dvsr {
namespace {

const char* advice(cudaError_t code) {
    switch (code) {
        case cudaErrorNoDevice:
            return "check the driver with nvidia-smi";
        case cudaErrorInsufficientDriver:
        case cudaErrorUnsupportedPtxVersion:
            return "the driver is older than the CUDA that this library was built with: update "
                   "the driver";
        case cudaErrorNoKernelImageForDevice:
        case cudaErrorInvalidDeviceFunction:
            return "this library was not built for this GPU: build it with "
                   "-DCMAKE_CUDA_ARCHITECTURES=native";
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchFailure:
            return "the GPU's state is lost: start the program again";
        default:
            return "python -m export.doctor says what this machine can run";
    }
}

void check(cudaError_t code, const char* call) {
    if (code == cudaSuccess) {
        return;
    }
    // Otherwise the next launch would report it a second time.
    static_cast<void>(cudaGetLastError());
    const std::string named = cudaGetErrorName(code);
    if (code == cudaErrorMemoryAllocation) {
        throw DeviceMemoryError(std::string(call) + " found no GPU memory left (" + named +
                                "); give less with --memory (memory_mib), fewer samples, or a "
                                "smaller picture");
    }
    throw Error(ErrorKind::engine,
                std::string(call) + " failed with " + named + "; " + advice(code));
}

template <typename Pointed>
Pointed* at(Address address) {
    return reinterpret_cast<Pointed*>(address);
}

std::size_t count(std::int64_t bytes) { return static_cast<std::size_t>(bytes); }

cuda::PaddedSize padded(const Frame& frame) {
    return {frame.padded_height_px, frame.padded_width_px};
}

template <typename Byte>
cuda::PicturesOf<Byte> picture_at(Address address, const Frame& frame) {
    const std::int64_t row_bytes = 3 * frame.width_px;
    return {at<Byte>(address), 1,         frame.height_px,
            frame.width_px,    row_bytes, row_bytes * frame.height_px,
            cuda::Order::rgb};
}

class CudaDevice final : public Device {
public:
    static constexpr int kOrdinal = 0;

    CudaDevice() {
        enter();
        cudaStream_t stream = nullptr;
        check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
        stream_.reset(stream);
    }

    cudaStream_t stream() const { return stream_.get(); }

    void enter() override { check(cudaSetDevice(kOrdinal), "cudaSetDevice"); }

    std::int64_t free_bytes() override {
        std::size_t free = 0, total = 0;
        check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        return static_cast<std::int64_t>(free);
    }

    Address allocate(std::int64_t bytes) override {
        void* memory = nullptr;
        check(cudaMalloc(&memory, count(bytes)), "cudaMalloc");
        return reinterpret_cast<Address>(memory);
    }

    void release(Address address) noexcept override { cudaFree(at<void>(address)); }

    std::uint8_t* pin(std::int64_t bytes) override {
        void* memory = nullptr;
        check(cudaHostAlloc(&memory, count(bytes), cudaHostAllocDefault), "cudaHostAlloc");
        return static_cast<std::uint8_t*>(memory);
    }

    void unpin(std::uint8_t* memory) noexcept override { cudaFreeHost(memory); }

    void upload(Address target, const std::uint8_t* source, std::int64_t bytes) override {
        check(cudaMemcpyAsync(at<void>(target), source, count(bytes), cudaMemcpyHostToDevice,
                              stream()),
              "cudaMemcpyAsync");
    }

    void download(std::uint8_t* target, Address source, std::int64_t bytes) override {
        check(cudaMemcpyAsync(target, at<void>(source), count(bytes), cudaMemcpyDeviceToHost,
                              stream()),
              "cudaMemcpyAsync");
    }

    void clear(Address target, std::int64_t bytes) override {
        check(cudaMemsetAsync(at<void>(target), 0, count(bytes), stream()), "cudaMemsetAsync");
    }

    void synchronize() override { check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

    EventHandle record() override {
        cudaEvent_t event = nullptr;
        check(cudaEventCreate(&event), "cudaEventCreate");
        const cudaError_t code = cudaEventRecord(event, stream());
        if (code != cudaSuccess) {
            forget(event);
        }
        check(code, "cudaEventRecord");
        return event;
    }

    double elapsed_ms(EventHandle first, EventHandle second) override {
        float elapsed = 0.0F;
        check(cudaEventElapsedTime(&elapsed, static_cast<cudaEvent_t>(first),
                                   static_cast<cudaEvent_t>(second)),
              "cudaEventElapsedTime");
        return static_cast<double>(elapsed);
    }

    void forget(EventHandle event) noexcept override {
        cudaEventDestroy(static_cast<cudaEvent_t>(event));
    }

    void begin_capture() override {
        // Other threads of the program may allocate meanwhile: that must not spoil this capture.
        check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal),
              "cudaStreamBeginCapture");
    }

    GraphHandle end_capture() override {
        cudaGraph_t captured = nullptr;
        check(cudaStreamEndCapture(stream(), &captured), "cudaStreamEndCapture");
        cudaGraphExec_t graph = nullptr;
        const cudaError_t code = cudaGraphInstantiateWithFlags(&graph, captured, 0);
        cudaGraphDestroy(captured);
        check(code, "cudaGraphInstantiate");
        return graph;
    }

    void abandon_capture() noexcept override {
        // A capture that went wrong ends in an error; what matters is that it ends.
        cudaGraph_t captured = nullptr;
        if (cudaStreamEndCapture(stream(), &captured) == cudaSuccess && captured != nullptr) {
            cudaGraphDestroy(captured);
        }
        static_cast<void>(cudaGetLastError());
    }

    void launch(GraphHandle graph) override {
        check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream()), "cudaGraphLaunch");
    }

    void destroy(GraphHandle graph) noexcept override {
        cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
    }

    void to_model(Address picture, const Frame& frame, Address y, std::int64_t copies,
                  Address verdict) override {
        check(cuda::to_model(picture_at<const unsigned char>(picture, frame), at<float>(y),
                             padded(frame), copies, at<cuda::Verdict>(verdict), stream()),
              "to_model");
    }

    void to_picture(Address guess, Address residual, const Frame& frame, Address picture,
                    Address ticket, Address verdict) override {
        check(
            cuda::to_picture(at<const float>(guess), at<const float>(residual), padded(frame),
                             picture_at<unsigned char>(picture, frame),
                             at<const cuda::Ticket>(ticket), at<cuda::Verdict>(verdict), stream()),
            "to_picture");
    }

    void scale(Address from, Address to, float factor, std::int64_t values) override {
        check(cuda::scale(at<const float>(from), at<float>(to), factor, values, stream()), "scale");
    }

    void accumulate(Address fields, Address mean, Address squares, std::int64_t seen,
                    std::int64_t samples, std::int64_t values) override {
        check(cuda::accumulate(at<const float>(fields), at<float>(mean), at<float>(squares), seen,
                               samples, values, stream()),
              "accumulate");
    }

    void to_spread(Address squares, const Frame& frame, Address spread,
                   std::int64_t samples) override {
        check(cuda::to_spread(at<const float>(squares), padded(frame), at<float>(spread), 1,
                              {frame.height_px, frame.width_px}, samples, stream()),
              "to_spread");
    }

    void normals(Address field, Address ticket, std::int64_t first, std::int64_t step,
                 std::int64_t samples, const Frame& frame) override {
        check(cuda::normals(at<float>(field), at<const cuda::Ticket>(ticket), first, step, samples,
                            1, padded(frame), stream()),
              "normals");
    }

private:
    struct StreamCloser {
        void operator()(cudaStream_t stream) const noexcept { cudaStreamDestroy(stream); }
    };
    std::unique_ptr<CUstream_st, StreamCloser> stream_;
};

}  // namespace

std::optional<Gpu> first_gpu() {
    int devices = 0;
    cudaDeviceProp properties{};
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0 ||
        cudaGetDeviceProperties(&properties, CudaDevice::kOrdinal) != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return std::nullopt;
    }
    return Gpu{properties.name, 10 * properties.major + properties.minor};
}

CudaStream open_cuda() {
    auto device = std::make_unique<CudaDevice>();
    void* stream = device->stream();
    return {std::move(device), stream};
}

}  // namespace dvsr
