"""Time in sources: opening a vanished one again, and playing a file at its own speed.

Clock and waiting come from outside, so that nothing here depends on the time of day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.camera.frames import Reading, Source
from runtime.errors import DvsrError

Clock = Callable[[], float]
Wait = Callable[[float], bool]  # waits that many seconds; True where the pipeline is to stop
Say = Callable[[str], None]


@dataclass
class BackOff:
    """Seconds to wait before each attempt: ``first_s``, doubled up to ``longest_s``."""

    first_s: float = 0.5
    longest_s: float = 30.0
    attempts: int = 0

    def next_s(self) -> float:
        """How long to wait before the next attempt."""
        # A camera can be away for days: the exponent must not grow with them.
        waited = self.first_s * 2.0 ** min(self.attempts, 30)
        self.attempts += 1
        return min(waited, self.longest_s)

    def reset(self) -> None:
        """Start over, once a frame has come."""
        self.attempts = 0


class Reconnecting:
    """A live source that is opened again, with back-off, whenever it vanishes.

    ``source`` is open; ``open_again`` opens it anew. Errors are said and retried until ``wait``
    returns True: then the source has ended.
    """

    def __init__(
        self,
        source: Source,
        open_again: Callable[[], Source],
        wait: Wait,
        say: Say,
        back_off: BackOff,
    ) -> None:
        self._open = open_again
        self._wait = wait
        self._say = say
        self._back_off = back_off
        self._source: Source | None = source
        self.name, self.live, self.fps = source.name, source.live, source.fps
        self._reconnections = 0

    @property
    def reconnections(self) -> int:
        """How often the source was opened again."""
        return self._reconnections

    def read(self) -> Reading | None:
        while True:
            try:
                reading = self._current().read()
            except DvsrError as error:  # it vanished, or opening it again failed
                self.close()
                if not self._pause(error):
                    return None
            else:
                self._back_off.reset()
                return reading

    def _current(self) -> Source:
        if self._source is None:
            self._source = self._open()
            self._reconnections += 1
        return self._source

    def _pause(self, error: DvsrError) -> bool:
        """Whether to try again, after the wait."""
        seconds = self._back_off.next_s()
        self._say(f"{error}; trying again in {seconds:g} s")
        return not self._wait(seconds)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


class _Around:
    """A source around another one, with its name, kind and rate."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name, self.live, self.fps = source.name, source.live, source.fps

    def close(self) -> None:
        self._source.close()


class Primed(_Around):
    """A source whose first frame was read already: it comes out once more."""

    def __init__(self, source: Source, first: Reading) -> None:
        super().__init__(source)
        self._first: Reading | None = first

    def read(self) -> Reading | None:
        first, self._first = self._first, None
        return self._source.read() if first is None else first


class Paced(_Around):
    """A file played as if it were a camera: each frame comes when its timestamp says."""

    def __init__(self, source: Source, clock: Clock, wait: Wait) -> None:
        super().__init__(source)
        self._clock = clock
        self._wait = wait
        self._origin_s: float | None = None

    def read(self) -> Reading | None:
        reading = self._source.read()
        if reading is None or reading.timestamp_ms is None:
            return reading
        due_s = reading.timestamp_ms / 1000.0
        if self._origin_s is None:
            self._origin_s = self._clock() - due_s
        early_s = self._origin_s + due_s - self._clock()
        return None if early_s > 0.0 and self._wait(early_s) else reading
