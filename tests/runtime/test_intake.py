from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import ImageError, OptionError, Session
from runtime.buffers import Buffers
from runtime.intake import as_images, padded

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(engine="fake")


@pytest.fixture(scope="module")
def image(photograph: Image) -> Image:
    return photograph[:33, :47]


class OnTheGpu:
    """What a CUDA array shows to the outside."""

    __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012


class DlpackOnTheGpu:
    """What a DLPack array on a CUDA device shows to the outside."""

    def __dlpack__(self, **_: object) -> object:
        raise AssertionError("memory of another device was asked for")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def test_colours_in_opencvs_order_come_back_in_it(session: Session, image: Image) -> None:
    rgb, rgb_samples = session.deblur(image, steps=2, samples=2, return_samples=True)
    bgr, bgr_samples = session.deblur(
        image[..., ::-1], steps=2, samples=2, return_samples=True, bgr=True
    )
    assert np.array_equal(bgr[..., ::-1], rgb)
    assert np.array_equal(bgr_samples[..., ::-1], rgb_samples)


def test_the_result_goes_into_the_array_given(session: Session, image: Image) -> None:
    out = np.zeros((66, 47, 3), np.uint8)[::2]
    assert session.deblur(image, steps=1, preset="realtime", out=out) is out
    assert np.array_equal(out, session.deblur(image, steps=1, preset="realtime"))


def test_the_picture_itself_may_take_the_result(session: Session, image: Image) -> None:
    own = image.copy()
    session.deblur(own, preset="realtime", out=own)
    assert np.array_equal(own, session.deblur(image, preset="realtime"))


@pytest.mark.parametrize(
    "out", [np.zeros((33, 47, 3), np.float32), np.zeros((33, 48, 3), np.uint8), [1]]
)
def test_an_array_that_cannot_take_the_result_is_refused(
    session: Session, image: Image, out: Any
) -> None:
    with pytest.raises(OptionError, match="out="):
        session.deblur(image, out=out)


def test_a_read_only_array_for_the_result_is_refused(session: Session, image: Image) -> None:
    out = image.copy()
    out.flags.writeable = False
    with pytest.raises(OptionError, match="writeable"):
        session.deblur(image, out=out)


def test_a_dlpack_picture_is_read_without_a_copy(image: Image) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(image.copy())
    images, single = as_images(tensor)
    assert single
    assert images.ctypes.data == tensor.data_ptr()


def test_a_dlpack_picture_of_floats_is_refused(session: Session) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match="uint8"):
        session.deblur(torch.zeros(8, 8, 3))


@pytest.mark.parametrize("array", [OnTheGpu(), DlpackOnTheGpu()])
def test_an_array_on_a_gpu_is_refused_with_what_to_do(session: Session, array: object) -> None:
    with pytest.raises(ImageError, match=r"\.cpu\(\)"):
        session.deblur(array)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 8, 8, 4), (0, 8, 8, 3)])
def test_a_batch_of_another_shape_is_refused(session: Session, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="N, H, W, 3"):
        session.deblur(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (5, 16), (16, 16), (17, 31)])
def test_padding_reflects_as_numpy_does(photograph: Image, size: tuple[int, int]) -> None:
    images = photograph[None, : size[0], : size[1]]
    bottom, right = (-side % 16 for side in size)
    wanted = np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="reflect")
    assert np.array_equal(padded(images, 16, Buffers()), wanted)
