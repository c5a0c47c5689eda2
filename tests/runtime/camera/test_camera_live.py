from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
from light_session import ListSource, numbered

from runtime import ImageError
from runtime.camera import Reading, Source, SourceLostError
from runtime.camera.live import BackOff, Paced, Primed, Reconnecting


def test_the_wait_doubles_up_to_the_longest() -> None:
    back_off = BackOff(first_s=0.5, longest_s=3.0)
    assert [back_off.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    back_off.reset()
    assert back_off.next_s() == 0.5


def test_a_thousand_failures_do_not_overflow() -> None:
    assert BackOff(attempts=10_000).next_s() == 30.0


def lost() -> SourceLostError:
    return SourceLostError("the camera is gone")


def opener(*openings: list[object]) -> Callable[[], Source]:
    """Opens a source of each list in turn; a list that begins with ImageError does not open."""
    waiting = iter(openings)

    def open_next() -> Source:
        readings = next(waiting)
        if readings and type(readings[0]) is ImageError:
            raise readings[0]
        return ListSource(readings, live=True)  # type: ignore[arg-type]

    return open_next


def test_a_vanished_source_is_opened_again_after_growing_waits() -> None:
    a, b, c = numbered(3)
    gone = ImageError("no such camera")
    open_again = opener([a, lost()], [gone], [gone], [b, lost()], [c])
    waits: list[float] = []
    said: list[str] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    source = Reconnecting(open_again(), open_again, wait, said.append, BackOff(first_s=1.0))
    values = [reading.image[0, 0, 0] for reading in iter(source.read, None)]
    assert values == [0, 1, 2]
    assert waits == [1.0, 2.0, 4.0, 1.0]
    assert source.reconnections == 2
    assert said[0] == "the camera is gone; trying again in 1 s"


def test_stopping_ends_the_attempts() -> None:
    open_again = opener([lost()])
    source = Reconnecting(open_again(), open_again, lambda _: True, lambda _: None, BackOff())
    assert source.read() is None


def test_a_source_that_vanished_is_closed() -> None:
    first = ListSource([lost()], live=True)
    source = Reconnecting(first, opener([]), lambda _: True, lambda _: None, BackOff())
    source.read()
    assert first.closed


def test_a_file_is_played_at_its_own_speed() -> None:
    now = 100.0
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        nonlocal now
        waits.append(seconds)
        now += seconds
        return False

    source = Paced(ListSource(numbered(4), fps=10.0), lambda: now, wait)
    source.read()
    now += 0.03
    source.read()
    now += 0.25
    source.read()  # late: no wait
    source.read()  # still late
    assert waits == pytest.approx([0.07])


def test_a_stopped_playback_ends() -> None:
    source = Paced(ListSource(numbered(4)), lambda: 0.0, lambda _: True)
    assert len(list(islice(iter(source.read, None), 9))) == 1


def test_a_frame_that_was_read_comes_out_once_more() -> None:
    source = ListSource(numbered(3))
    first = source.read()
    assert first is not None
    primed = Primed(source, Reading(first.image, first.timestamp_ms))
    assert [reading.image[0, 0, 0] for reading in iter(primed.read, None)] == [0, 1, 2]
