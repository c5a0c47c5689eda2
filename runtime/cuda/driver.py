"""The one file that speaks to CUDA (cuda-python): memory, one stream, kernels, events, graphs.

Everything else asks a :class:`Driver`, so that the loop and its graphs can be run and recorded
without a GPU.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.errors import EngineError

THREADS_PER_BLOCK = 256

Argument = ctypes.c_uint64 | ctypes.c_float

_ADVICE = {
    "CUDA_ERROR_NO_DEVICE": "check the driver with nvidia-smi",
    "CUDA_ERROR_INVALID_IMAGE": "the driver is older than nvidia-cuda-nvrtc: update the driver",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "update nvidia-cuda-nvrtc: it does not know this GPU",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": (
        "the driver is older than nvidia-cuda-nvrtc: update the driver"
    ),
    "CUDA_ERROR_ILLEGAL_ADDRESS": "the GPU's state is lost: start the program again",
    "CUDA_ERROR_LAUNCH_FAILED": "the GPU's state is lost: start the program again",
}
_MEMORY_ADVICE = "give less with --memory (memory_mib=), fewer samples, or a smaller picture"


class DeviceMemoryError(EngineError):
    """The GPU has no memory left for what was asked; what was there before is still there."""


@dataclass(frozen=True)
class Pinned:
    """Page-locked host memory: its address, and the same bytes as a uint8 array."""

    address: int
    bytes: NDArray[np.uint8]


class Driver(Protocol):
    """What the loop needs of CUDA. All work goes to one stream; addresses and handles are numbers.

    Every method raises EngineError naming the call that failed and what to do.
    """

    @property
    def stream(self) -> int:
        """The stream's handle, for libraries that put work on it."""

    @property
    def ordinal(self) -> int:
        """Which of the machine's devices it is."""

    def enter(self) -> None:
        """Make the device current for the calling thread; to be called first in each."""

    def free_bytes(self) -> int:
        """Device memory that nobody holds."""

    def allocate(self, size: int) -> int:
        """Device memory, aligned to 256 bytes; raises DeviceMemoryError."""

    def release(self, address: int) -> None:
        """Give device memory back."""

    def pin(self, size: int) -> Pinned:
        """Page-locked host memory."""

    def unpin(self, pinned: Pinned) -> None:
        """Give page-locked memory back."""

    def upload(self, target: int, source: int, size: int) -> None:
        """Copy from page-locked to device memory."""

    def download(self, target: int, source: int, size: int) -> None:
        """Copy from device to page-locked memory."""

    def clear(self, target: int, size: int) -> None:
        """Fill device memory with zeros."""

    def load_kernels(self, source: str, names: Sequence[str]) -> Mapping[str, int]:
        """Compile CUDA C++ for this device; the kernels by their names."""

    def launch(self, kernel: int, threads: int, arguments: Sequence[Argument]) -> None:
        """Run ``kernel`` in at least ``threads`` threads."""

    def record(self) -> int:
        """Note this moment on the stream: an event, to be given to :meth:`forget`."""

    def elapsed_ms(self, first: int, second: int) -> float:
        """Milliseconds between two events that have passed."""

    def forget(self, event: int) -> None:
        """Give an event back."""

    def wait_for(self, stream: int) -> None:
        """Let the stream do nothing more until another has done what it was given before."""

    def owns(self, address: int) -> bool:
        """Whether ``address`` is memory of this device."""

    def synchronize(self) -> None:
        """Wait until the stream has done everything."""

    def begin_capture(self) -> None:
        """From here on note the calling thread's work on the stream instead of doing it."""

    def end_capture(self) -> int:
        """A graph, ready to launch, of what was noted; to be given to :meth:`destroy_graph`."""

    def abandon_capture(self) -> None:
        """End a capture that went wrong; the stream is usable again."""

    def launch_graph(self, graph: int) -> None:
        """Do what the graph holds."""

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back; its launches have passed."""

    def close(self) -> None:
        """Give back the stream and the kernels; no call is allowed after this one."""


class CudaDriver:
    """The real :class:`Driver`, on device ``ordinal`` and a stream of its own.

    The device's primary context is used, which TensorRT uses too; the stream does not wait for
    the default stream.
    """

    def __init__(self, ordinal: int = 0) -> None:
        self._cuda = _import("driver")
        self._ordinal = ordinal
        self._call("cuInit", 0)
        self._device = self._call("cuDeviceGet", ordinal)
        self._context = self._call("cuDevicePrimaryCtxRetain", self._device)
        self.enter()
        flags = self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        self._stream = self._call("cuStreamCreate", flags)
        self._modules: list[Any] = []

    @property
    def stream(self) -> int:
        return int(self._stream)

    @property
    def ordinal(self) -> int:
        return self._ordinal

    def enter(self) -> None:
        self._call("cuCtxSetCurrent", self._context)

    def free_bytes(self) -> int:
        free, _ = self._call("cuMemGetInfo")
        return int(free)

    def allocate(self, size: int) -> int:
        return int(self._call("cuMemAlloc", size))

    def release(self, address: int) -> None:
        self._call("cuMemFree", address)

    def pin(self, size: int) -> Pinned:
        address = int(self._call("cuMemHostAlloc", size, 0))
        view = (ctypes.c_uint8 * size).from_address(address)
        return Pinned(address, np.ctypeslib.as_array(view))

    def unpin(self, pinned: Pinned) -> None:
        self._call("cuMemFreeHost", pinned.address)

    def upload(self, target: int, source: int, size: int) -> None:
        self._call("cuMemcpyHtoDAsync", target, source, size, self._stream)

    def download(self, target: int, source: int, size: int) -> None:
        self._call("cuMemcpyDtoHAsync", target, source, size, self._stream)

    def clear(self, target: int, size: int) -> None:
        self._call("cuMemsetD8Async", target, 0, size, self._stream)

    def load_kernels(self, source: str, names: Sequence[str]) -> Mapping[str, int]:
        keys = self._cuda.CUdevice_attribute
        major, minor = (
            self._call("cuDeviceGetAttribute", key, self._device)
            for key in (
                keys.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                keys.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        module = self._call("cuModuleLoadData", compile_cuda(source, 10 * major + minor))
        self._modules.append(module)
        return {
            name: int(self._call("cuModuleGetFunction", module, name.encode())) for name in names
        }

    def launch(self, kernel: int, threads: int, arguments: Sequence[Argument]) -> None:
        blocks = -(-threads // THREADS_PER_BLOCK)
        pointers = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        grid = (blocks, 1, 1, THREADS_PER_BLOCK, 1, 1)
        address = ctypes.addressof(pointers)
        self._call("cuLaunchKernel", kernel, *grid, 0, self._stream, address, 0)

    def record(self) -> int:
        event = self._call("cuEventCreate", self._cuda.CUevent_flags.CU_EVENT_DEFAULT)
        self._call("cuEventRecord", event, self._stream)
        return int(event)

    def elapsed_ms(self, first: int, second: int) -> float:
        return float(self._call("cuEventElapsedTime", first, second))

    def forget(self, event: int) -> None:
        self._call("cuEventDestroy", event)

    def wait_for(self, stream: int) -> None:
        event = self._call("cuEventCreate", self._cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING)
        try:
            self._call("cuEventRecord", event, stream)
            self._call("cuStreamWaitEvent", self._stream, event, 0)
        finally:
            self._call("cuEventDestroy", event)

    def owns(self, address: int) -> bool:
        key = self._cuda.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        # Memory that CUDA knows nothing of is an error of its own.
        code, ordinal = self._cuda.cuPointerGetAttribute(key, address)
        return code == self._cuda.CUresult.CUDA_SUCCESS and int(ordinal) == self._ordinal

    def synchronize(self) -> None:
        self._call("cuStreamSynchronize", self._stream)

    def begin_capture(self) -> None:
        # Other threads of the program may allocate meanwhile: that must not spoil this capture.
        mode = self._cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._stream, mode)

    def end_capture(self) -> int:
        graph = self._call("cuStreamEndCapture", self._stream)
        try:
            return int(self._call("cuGraphInstantiate", graph, 0))
        finally:
            self._call("cuGraphDestroy", graph)

    def abandon_capture(self) -> None:
        # A capture that went wrong ends in an error; what matters is that it ends.
        code, graph = self._cuda.cuStreamEndCapture(self._stream)
        if code == self._cuda.CUresult.CUDA_SUCCESS:
            self._call("cuGraphDestroy", graph)

    def launch_graph(self, graph: int) -> None:
        self._call("cuGraphLaunch", graph, self._stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", graph)

    def close(self) -> None:
        for module in self._modules:
            self._call("cuModuleUnload", module)
        self._modules.clear()
        self._call("cuStreamDestroy", self._stream)
        self._call("cuDevicePrimaryCtxRelease", self._device)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            code, *values = getattr(self._cuda, name)(*arguments)
        except (RuntimeError, ImportError) as error:  # the driver's library cannot be loaded
            raise EngineError(
                f"no CUDA device can be used here: {error}; check the driver with nvidia-smi, or "
                "take an engine that needs no GPU, such as onnx-cpu"
            ) from error
        if code != self._cuda.CUresult.CUDA_SUCCESS:
            raise _failure(name, code.name)
        return values[0] if len(values) == 1 else tuple(values)


def compile_cuda(source: str, sm: int) -> bytes:
    """Machine code of CUDA C++ for compute capability ``sm`` (8.6 is 86), made by NVRTC.

    For a GPU newer than NVRTC knows, PTX for the newest that it does. Raises EngineError.
    """
    nvrtc = _import("nvrtc")

    def call(name: str, *arguments: Any) -> Any:
        try:
            code, *values = getattr(nvrtc, name)(*arguments)
        except (RuntimeError, ImportError) as error:
            raise EngineError(
                f"the CUDA compiler NVRTC cannot be loaded: {error}; type: "
                "pip install nvidia-cuda-nvrtc (on a Jetson it comes with CUDA)"
            ) from error
        if code != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise EngineError(f"{name} failed with {code.name} for sm{sm}; {said(call)}")
        return values[0] if values else None

    program: Any = None

    def said(call: Any) -> str:
        if program is None:
            return "update nvidia-cuda-nvrtc"
        log = b" " * nvrtc.nvrtcGetProgramLogSize(program)[1]
        nvrtc.nvrtcGetProgramLog(program, log)
        return log.decode(errors="replace").strip("\0 \n")

    known = [arch for arch in call("nvrtcGetSupportedArchs") if arch <= sm]
    if not known:
        raise EngineError(f"the CUDA compiler NVRTC does not know sm{sm}; take another engine")
    exact = known[-1] == sm
    # One rounding for each operation, as in numpy: the noise must be the same to the bit.
    target = f"--gpu-architecture={'sm' if exact else 'compute'}_{known[-1]}"
    options = [target.encode(), b"--fmad=false"]
    program = call("nvrtcCreateProgram", source.encode(), b"kernels.cu", 0, [], [])
    try:
        call("nvrtcCompileProgram", program, len(options), options)
        kind = "CUBIN" if exact else "PTX"
        code = b"\0" * int(call(f"nvrtcGet{kind}Size", program))
        call(f"nvrtcGet{kind}", program, code)
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return code


def _import(module: str) -> Any:
    try:
        return importlib.import_module(f"cuda.bindings.{module}")
    except ImportError as error:
        raise EngineError(
            "cuda-python is not installed; type: pip install 'dvsr-edge[trt]' (or [rtx])"
        ) from error


def _failure(name: str, code: str) -> EngineError:
    if code == "CUDA_ERROR_OUT_OF_MEMORY":
        return DeviceMemoryError(f"{name} found no GPU memory left ({code}); {_MEMORY_ADVICE}")
    advice = _ADVICE.get(code, "python -m export.doctor says what this machine can run")
    return EngineError(f"{name} failed with {code}; {advice}")
