"""Arrays on a CUDA device as they describe themselves, and what is refused of them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from device_arrays import ByDlpack, ByInterface
from host_driver import HostDriver

from runtime.device_images import as_device_images, as_device_target, is_on_cuda
from runtime.errors import ImageError, OptionError

PICTURE = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
KINDS = pytest.mark.parametrize("kind", [ByInterface, ByDlpack])


@pytest.fixture
def driver() -> HostDriver:
    return HostDriver(ctypes.CDLL(None))


@KINDS
def test_a_picture_is_found_where_it_lies(driver: HostDriver, kind: Any) -> None:
    array = kind(driver, PICTURE)
    images, single = as_device_images(array, 0)
    assert is_on_cuda(array)
    assert single
    assert (images.shape, len(images)) == ((1, 2, 4, 3), 1)
    assert ctypes.string_at(images.address, PICTURE.size) == PICTURE.tobytes()


@KINDS
def test_a_part_of_a_batch_lies_behind_what_comes_before_it(driver: HostDriver, kind: Any) -> None:
    images, single = as_device_images(kind(driver, np.stack([PICTURE, PICTURE + 1])), 0)
    assert not single
    second = images[1:2]
    assert second.shape == (1, 2, 4, 3)
    assert ctypes.string_at(second.address, PICTURE.size) == (PICTURE + 1).tobytes()


@pytest.mark.parametrize(("stream", "calls"), [(5, ["wait for 5"]), (None, [])])
def test_the_stream_that_an_interface_names_is_waited_for(
    driver: HostDriver, stream: int | None, calls: list[str]
) -> None:
    images, _ = as_device_images(ByInterface(driver, PICTURE, stream), 0)
    driver.calls.clear()
    images.order(driver)
    assert driver.calls == calls


def test_an_interface_too_old_to_name_a_stream_is_waited_for_in_the_default_one(
    driver: HostDriver,
) -> None:
    array = ByInterface(driver, PICTURE)
    del array.__cuda_array_interface__["stream"]
    as_device_images(array, 0)[0].order(driver)
    assert driver.calls[-1] == "wait for 1"


def test_the_owner_of_a_dlpack_array_is_told_the_stream_and_not_before(driver: HostDriver) -> None:
    images, _ = as_device_images(ByDlpack(driver, PICTURE), 0)
    assert driver.calls == ["allocate"]
    images.order(driver)
    assert driver.calls == ["allocate", f"wait for {driver.stream}"]


@KINDS
@pytest.mark.parametrize(
    "array",
    [PICTURE.astype(np.float32), PICTURE[0], PICTURE[..., :2].copy(), PICTURE.view(np.int8)],
)
def test_what_is_no_picture_is_refused_with_what_is_wanted(
    driver: HostDriver, kind: Any, array: Any
) -> None:
    with pytest.raises(ImageError, match=r"contiguous uint8 RGB \(H, W, 3\).*permute"):
        as_device_images(kind(driver, array), 0)


def test_turned_axes_are_refused_and_strides_that_say_nothing_are_not(driver: HostDriver) -> None:
    array = ByInterface(driver, PICTURE)
    shown = array.__cuda_array_interface__
    shown["strides"] = (12, 3, 1)
    as_device_images(array, 0)
    shown["strides"] = (3, 6, 1)
    with pytest.raises(ImageError, match="not contiguous"):
        as_device_images(array, 0)
    shown |= {"shape": (1, 4, 3), "strides": (99, 3, 1)}
    as_device_images(array, 0)


def test_an_array_of_another_device_is_refused(driver: HostDriver) -> None:
    with pytest.raises(ImageError, match=r"CUDA device 1; wanted is device 0"):
        as_device_images(ByDlpack(driver, PICTURE, ordinal=1), 0)


def test_an_owner_that_gives_nothing_out_is_one_clear_error(driver: HostDriver) -> None:
    class Refusing(ByDlpack):
        def __dlpack__(self, *, stream: int) -> object:
            raise BufferError("it needs a gradient")

    with pytest.raises(ImageError, match="it needs a gradient"):
        as_device_images(Refusing(driver, PICTURE), 0)


def test_an_array_for_the_result_must_have_its_shape_and_be_writeable(driver: HostDriver) -> None:
    array = ByInterface(driver, PICTURE)
    assert as_device_target(array, 0, PICTURE.shape).address == array.address
    with pytest.raises(OptionError, match=r"out=.*\(2, 5, 3\)"):
        as_device_target(array, 0, (2, 5, 3))
    array.__cuda_array_interface__["data"] = (array.address, True)
    with pytest.raises(OptionError, match="read-only"):
        as_device_target(array, 0, PICTURE.shape)
