"""``deblur``: one call over sessions that stay open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from runtime.session import Floats, Image, Sampling, Session

if TYPE_CHECKING:
    from typing_extensions import Unpack

_OPEN_SESSIONS = 4


class _SessionCache:
    """The sessions that :func:`deblur` keeps open, the latest used ones last."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[str | None, str], Session] = OrderedDict()

    def get(self, bundle: str | Path | None, engine: str) -> Session:
        key = (None if bundle is None else str(bundle), engine)
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = Session(bundle, engine=engine)
            self._sessions.move_to_end(key)
            # One that a thread still uses lives on until that call ends.
            while len(self._sessions) > self._capacity:
                self._sessions.popitem(last=False)
            return self._sessions[key]


_SESSIONS = _SessionCache(_OPEN_SESSIONS)


class SamplingWhere(Sampling, total=False):
    """The keywords of :func:`deblur` that do not change what it returns."""

    bundle: str | Path | None
    engine: str


@overload
def deblur(
    image: object,
    *,
    return_std: Literal[False] = False,
    return_samples: Literal[False] = False,
    **options: Unpack[SamplingWhere],
) -> Image: ...


@overload
def deblur(
    image: object,
    *,
    return_std: Literal[True],
    return_samples: Literal[False] = False,
    **options: Unpack[SamplingWhere],
) -> tuple[Image, Floats]: ...


@overload
def deblur(
    image: object,
    *,
    return_std: Literal[False] = False,
    return_samples: Literal[True],
    **options: Unpack[SamplingWhere],
) -> tuple[Image, Image]: ...


@overload
def deblur(
    image: object,
    *,
    return_std: Literal[True],
    return_samples: Literal[True],
    **options: Unpack[SamplingWhere],
) -> tuple[Image, Floats, Image]: ...


def deblur(
    image: object,
    *,
    steps: int | None = None,
    samples: int | None = None,
    self_ensemble: bool | None = None,
    strength: float | None = None,
    seed: int = 0,
    preset: str | None = None,
    bundle: str | Path | None = None,
    engine: str = "auto",
    return_std: bool = False,
    return_samples: bool = False,
    bgr: bool = False,
    out: object = None,
) -> Any:
    """Deblur uint8 RGB (H, W, 3) of any size, or a batch (N, H, W, 3); returns the same shape.

    :meth:`Session.deblur` in one call: the session stays open for the next call with the same
    ``bundle`` and ``engine``. Raises ImageError, OptionError, BundleError and EngineError.
    """
    sampling: Sampling = {
        "steps": steps,
        "samples": samples,
        "self_ensemble": self_ensemble,
        "strength": strength,
        "seed": seed,
        "preset": preset,
        "bgr": bgr,
        "out": out,
    }
    session = _SESSIONS.get(bundle, engine)
    return session.deblur(  # type: ignore[call-overload]
        image, return_std=return_std, return_samples=return_samples, **sampling
    )
