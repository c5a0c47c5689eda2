"""kernels.cu: that it compiles for every GPU, and that its arithmetic is numpy's to the bit."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from host_driver import HostDriver

from runtime.cuda.driver import compile_cuda
from runtime.cuda.kernels import NAMES, SOURCE, Kernels
from runtime.errors import EngineError
from runtime.images import from_model, to_model
from runtime.noise import normals

HEIGHT, WIDTH = 8, 13


class Device:
    """Arrays on the host driver's device, and the kernels that work on them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.driver = HostDriver(library)
        self.kernels = Kernels(self.driver)

    def put(self, array: np.ndarray) -> int:
        address = self.driver.allocate(array.nbytes)
        ctypes.memmove(address, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return address

    def get(self, address: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(ctypes.string_at(address, size), dtype).reshape(shape)


@pytest.fixture
def device(host_kernels: ctypes.CDLL) -> Device:
    return Device(host_kernels)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("sm", [75, 89, 120])
def test_the_kernels_compile_for_gpus_from_turing_to_blackwell(sm: int) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        code = compile_cuda(SOURCE.read_text(), sm)
    except EngineError as error:
        if "cannot be loaded" not in str(error):
            raise
        pytest.skip(str(error))
    assert code.startswith(b"\x7fELF")
    assert all(name.encode() in code for name in NAMES)


def test_a_source_that_does_not_compile_is_reported_with_its_line() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    with pytest.raises(EngineError, match=r"kernels\.cu\(1\)|cannot be loaded"):
        compile_cuda("not C++", 86)


def test_every_grey_level_becomes_what_to_model_makes_of_it(device: Device) -> None:
    image = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    y = device.put(np.zeros((2, 3, 16, 16), np.float32))
    head = device.put(np.ones(2, np.uint64))
    device.kernels.to_model(device.put(image), y, 1, 256, 2, head)
    expected = to_model(image)[0]
    for copy in device.get(y, (2, 3, 16, 16), np.float32):
        np.testing.assert_array_equal(copy, expected)
    assert not device.get(head, (2,), np.uint64).any()


def test_several_pictures_keep_their_order_in_every_copy(
    device: Device, rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
    shape = (6, 3, HEIGHT, WIDTH)
    y = device.put(np.zeros(shape, np.float32))
    device.kernels.to_model(
        device.put(images), y, 3, HEIGHT * WIDTH, 2, device.put(np.zeros(2, np.uint64))
    )
    expected = np.concatenate([to_model(image) for image in images] * 2)
    np.testing.assert_array_equal(device.get(y, shape, np.float32), expected)


def test_pictures_are_rounded_and_clipped_as_from_model_does(
    device: Device, rng: np.random.Generator
) -> None:
    guess = rng.uniform(-1.4, 1.4, (1, 3, HEIGHT, WIDTH)).astype(np.float32)
    # Half grey levels, which are rounded to even.
    guess[0, 0, 0, :] = (np.arange(WIDTH, dtype=np.float32) + np.float32(0.5)) / np.float32(127.5)
    guess[0, 0, 0, :] -= np.float32(1.0)
    residual = rng.normal(0.0, 0.1, guess.shape).astype(np.float32)
    residual[0, 0, 0, :] = 0.0
    picture = device.put(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    head = device.put(np.zeros(2, np.uint64))
    ticket = device.put(np.array([42, 0], np.uint64))
    device.kernels.to_picture(
        device.put(guess), device.put(residual), picture, 1, HEIGHT * WIDTH, 0, ticket, head
    )
    expected = from_model(guess + residual)
    np.testing.assert_array_equal(device.get(picture, expected.shape, np.uint8), expected)
    assert device.get(head, (2,), np.uint64).tolist() == [42, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_flagged(device: Device, value: float) -> None:
    guess = np.zeros((1, 3, 2, 2), np.float32)
    guess[0, 1, 1, 0] = value
    head = device.put(np.zeros(2, np.uint64))
    picture = device.put(np.zeros(12, np.uint8))
    device.kernels.to_picture(device.put(guess), 0, picture, 1, 4, 12, 0, head)
    assert device.get(head, (2,), np.uint64).tolist() == [0, 1]


@pytest.mark.parametrize(("samples", "pictures"), [(1, 1), (2, 3)])
def test_the_noise_is_that_of_the_rule_to_the_bit(
    device: Device, samples: int, pictures: int
) -> None:
    seed, first, step = 2**63 + 11, 5, 3
    shape = (samples, pictures, 3, HEIGHT, WIDTH)
    field = device.put(np.zeros(shape, np.float32))
    head = device.put(np.array([0, seed], np.uint64))
    device.kernels.normals(field, head, first, step, samples, pictures, HEIGHT, WIDTH)
    found = device.get(field, shape, np.float32)
    for sample in range(samples):
        expected = normals(seed, first + sample, step, HEIGHT, WIDTH)
        for picture in range(pictures):
            np.testing.assert_array_equal(found[sample, picture], expected)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (HEIGHT, WIDTH)])
def test_a_picture_is_padded_as_numpy_reflects_and_cut_back(
    device: Device, rng: np.random.Generator, size: tuple[int, int], turned: bool
) -> None:
    images = rng.integers(0, 256, (2, *size, 3), np.uint8)
    wanted = np.pad(
        images[..., ::-1] if turned else images,
        ((0, 0), (0, 16 - size[0]), (0, 16 - size[1]), (0, 0)),
        mode="reflect",
    )
    padded, back = (device.put(np.zeros(shape, np.uint8)) for shape in (wanted.shape, images.shape))
    device.kernels.recut(device.put(images), padded, 2, size, (16, 16), turned=turned)
    np.testing.assert_array_equal(device.get(padded, wanted.shape, np.uint8), wanted)
    device.kernels.recut(padded, back, 2, (16, 16), size, turned=turned)
    np.testing.assert_array_equal(device.get(back, images.shape, np.uint8), images)


def test_mean_and_spread_do_not_depend_on_how_samples_are_batched(
    device: Device, rng: np.random.Generator
) -> None:
    values = rng.normal(0.0, 1.0, (6, 3, HEIGHT, WIDTH)).astype(np.float32)
    count = values[0].size
    found = []
    for batch in (1, 2, 3, 6):
        mean, squares = (device.put(np.full(values[0].shape, np.nan, np.float32)) for _ in "12")
        for first in range(0, 6, batch):
            samples = device.put(values[first : first + batch])
            device.kernels.accumulate(samples, mean, squares, first, batch, count)
        spread = device.put(np.zeros((HEIGHT, WIDTH, 3), np.float32))
        device.kernels.to_spread(squares, spread, 1, HEIGHT * WIDTH, 6)
        found.append((mean, spread))
    for mean, spread in found:
        average = device.get(mean, values[0].shape, np.float32)
        np.testing.assert_array_equal(average, device.get(found[0][0], average.shape, np.float32))
        np.testing.assert_allclose(average, values.mean(0), atol=1e-6)
        levels = device.get(spread, (HEIGHT, WIDTH, 3), np.float32)
        expected = 127.5 * values.std(0).transpose(1, 2, 0)
        np.testing.assert_allclose(levels, expected, rtol=1e-4)
