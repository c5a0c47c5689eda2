"""Pictures that lie on the device before and after: no pixel of them goes over the bus."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from device_arrays import ByDlpack, ByInterface
from host_driver import HostDriver, HostNetworks, sessions_of
from numpy.typing import NDArray

from runtime import EngineError, ImageError, Session
from runtime.bundle import Bundle
from runtime.cuda.loop import DeviceLoop
from runtime.cuda.plan import HEAD_BYTES
from runtime.gpu_check import compare_on_gpu

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Image = NDArray[np.uint8]
KINDS = pytest.mark.parametrize("kind", [ByInterface, ByDlpack])
OPTIONS: dict[str, Any] = {"preset": "realtime", "seed": 3}


class Engine(DeviceLoop):
    name = "a recorded GPU"


@pytest.fixture(scope="module")
def sessions(tiny: Bundle) -> Mapping[str, Any]:
    return sessions_of(tiny)


@pytest.fixture
def driver(host_kernels: ctypes.CDLL) -> HostDriver:
    return HostDriver(host_kernels)


@pytest.fixture
def networks(driver: HostDriver, sessions: Mapping[str, Any]) -> HostNetworks:
    return HostNetworks(driver, sessions)


@pytest.fixture
def session(
    driver: HostDriver, networks: HostNetworks, open_with: Callable[..., Session]
) -> Session:
    return open_with(Engine(driver, networks, "float32", graph="on"))


@pytest.fixture(scope="module")
def image(photograph: Image) -> Image:
    """A picture that must be padded."""
    return photograph[40:53, 180:205].copy()


@pytest.fixture(scope="module")
def expected(image: Image) -> Image:
    with Session(engine="onnx-cpu") as session:
        return session.deblur(image, **OPTIONS)


@KINDS
@pytest.mark.parametrize("bgr", [False, True])
def test_a_picture_on_the_device_gives_what_it_gives_on_the_host(
    session: Session, driver: HostDriver, image: Image, expected: Image, kind: Any, bgr: bool
) -> None:
    turn = slice(None, None, -1 if bgr else 1)
    # As single calls, captured, and replayed; each array lies elsewhere.
    for _ in range(3):
        array = kind(driver, image[..., turn])
        result = session.deblur(array, bgr=bgr, **OPTIONS)
        np.testing.assert_array_equal(result[..., turn], expected)
    assert driver.calls.count("begin_capture") == 1


@KINDS
def test_a_result_on_the_device_stays_there_and_nothing_but_the_head_crosses(
    session: Session, driver: HostDriver, image: Image, expected: Image, kind: Any
) -> None:
    for _ in range(3):
        array, out = kind(driver, image), kind(driver, np.zeros_like(image))
        crossed = driver.crossed_bytes
        assert session.deblur(array, out=out, **OPTIONS) is out
        np.testing.assert_array_equal(out.values, expected)
    assert driver.crossed_bytes - crossed == 2 * HEAD_BYTES


def test_a_picture_of_the_host_may_go_to_the_device(
    session: Session, driver: HostDriver, image: Image, expected: Image
) -> None:
    out = ByInterface(driver, np.zeros_like(image))
    session.deblur(image[..., ::-1], out=out, bgr=True, **OPTIONS)
    np.testing.assert_array_equal(out.values[..., ::-1], expected)


def test_a_picture_may_take_its_own_result(
    session: Session, driver: HostDriver, image: Image, expected: Image
) -> None:
    array = ByDlpack(driver, image)
    session.deblur(array, out=array, **OPTIONS)
    np.testing.assert_array_equal(array.values, expected)


def test_deviation_and_samples_come_to_the_host_beside_a_result_on_the_device(
    session: Session, driver: HostDriver, image: Image
) -> None:
    options = {"steps": 2, "samples": 2, "return_std": True, "return_samples": True}
    wanted = session.deblur(image, **options)  # type: ignore[call-overload]
    array, out = ByDlpack(driver, image), ByDlpack(driver, np.zeros_like(image))
    found = session.deblur(array, out=out, **options)  # type: ignore[call-overload]
    assert found[0] is out
    for one, other in zip((out.values, *found[1:]), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_steps_every_sample_is_the_picture_there_too(
    session: Session, driver: HostDriver, image: Image
) -> None:
    out = ByDlpack(driver, np.zeros_like(image))
    _, samples = session.deblur(
        ByDlpack(driver, image), out=out, steps=0, samples=3, return_samples=True
    )
    np.testing.assert_array_equal(samples, out.values[None])


def test_a_batch_is_taken_picture_by_picture_where_the_profile_ends(
    session: Session, driver: HostDriver, image: Image
) -> None:
    batch = np.stack([image, image[::-1], image[:, ::-1]])
    out = ByDlpack(driver, np.zeros_like(batch))
    session.deblur(ByDlpack(driver, batch), out=out, **OPTIONS)
    np.testing.assert_array_equal(out.values, session.deblur(batch, **OPTIONS))


def test_what_is_still_done_with_an_array_is_waited_for_before_it_is_touched(
    session: Session, driver: HostDriver, image: Image
) -> None:
    array, out = ByInterface(driver, image, 5), ByInterface(driver, np.zeros_like(image), 6)
    for _ in range(2):
        session.deblur(array, out=out, **OPTIONS)
    driver.calls.clear()
    session.deblur(array, out=out, **OPTIONS)
    touching = [
        name for name in driver.calls if name.startswith(("wait", "recut", "launch", "syn"))
    ]
    first = ["wait for 5", "recut", "launch_graph", "synchronize"]
    assert touching == [*first, "wait for 6", "recut", "synchronize"]


def test_the_gpus_check_compares_a_picture_that_lies_there_with_the_hosts(
    session: Session, driver: HostDriver, networks: HostNetworks
) -> None:
    networks.max_px = 256
    outcome, detail, _ = compare_on_gpu(session, lambda: driver)
    assert (outcome, detail) == ("passed", "the same picture as from the host")


def test_a_prewarmed_session_answers_its_first_picture_by_a_replay(
    session: Session, driver: HostDriver, image: Image, expected: Image
) -> None:
    session.prewarm([image.shape[:2]], **OPTIONS)
    driver.calls.clear()
    np.testing.assert_array_equal(session.deblur(image, **OPTIONS), expected)
    assert set(driver.calls) == {"enter", "launch_graph", "synchronize"}


def test_memory_that_is_not_the_devices_is_refused_and_the_next_picture_works(
    session: Session, driver: HostDriver, image: Image, expected: Image
) -> None:
    array = ByInterface(driver, image)
    array.__cuda_array_interface__["data"] = (image.ctypes.data, False)
    with pytest.raises(ImageError, match=r"wanted is memory of CUDA device 0.*copy it there"):
        session.deblur(array, **OPTIONS)
    np.testing.assert_array_equal(session.deblur(image, **OPTIONS), expected)


def test_a_failed_call_leaves_the_array_for_its_result_alone(
    session: Session, driver: HostDriver, networks: HostNetworks, image: Image, expected: Image
) -> None:
    array, out = ByDlpack(driver, image), ByDlpack(driver, np.zeros_like(image))
    networks.poison = True
    with pytest.raises(EngineError, match="NaN"):
        session.deblur(array, out=out, **OPTIONS)
    assert not out.values.any()
    networks.poison = False
    session.deblur(array, out=out, **OPTIONS)
    np.testing.assert_array_equal(out.values, expected)


def test_a_picture_that_needs_tiles_is_sent_to_the_host_by_its_error(
    session: Session, driver: HostDriver, photograph: Image
) -> None:
    large = photograph[:96, :128]
    with pytest.raises(EngineError, match=r"128x96 px on the GPU does not fit.*\.cpu\(\)"):
        session.deblur(ByDlpack(driver, large), **OPTIONS)
    assert session.deblur(large, **OPTIONS).shape == large.shape


@pytest.mark.parametrize("engine", ["onnx-cpu", "fake"])
def test_an_engine_of_the_host_says_how_to_bring_the_picture_there(
    driver: HostDriver, image: Image, engine: str
) -> None:
    array = ByDlpack(driver, image)
    with Session(engine=engine) as session:
        for picture, out in ((array, None), (image, array)):
            with pytest.raises(ImageError, match=r"\.cpu\(\).*tensorrt"):
                session.deblur(picture, out=out)
