"""The options of a camera pipeline, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runtime.errors import OptionError

Policy = Literal["auto", "drop-oldest", "block"]
POLICIES: tuple[Policy, ...] = ("auto", "drop-oldest", "block")


@dataclass(frozen=True)
class CameraConfig:
    """How a camera pipeline works; raises OptionError for values outside their range.

    ``bundle``, ``engine`` and ``memory_mib`` are those of ``Session``, ``preset``, ``steps``,
    ``samples`` and ``seed`` those of ``Session.deblur``. With ``budget_ms`` the pipeline chooses
    steps and samples itself, and ``steps`` and ``samples`` are the most it may take. The budget is
    for a frame's time from arriving to being written, or for the deblurring alone where frames
    wait in line because none may be lost.

    ``policy`` "block" loses no frame, "drop-oldest" lets frames give way to newer ones and plays
    a file at its own speed; "auto" drops for live sources and blocks for files. ``queue_frames``
    is the room between reading and deblurring (None: 1 when dropping, 4 when blocking). ``fps``
    overrides what the source says (30 where it says nothing); ``max_frames`` ends the run early.
    """

    bundle: str | None = None
    engine: str = "auto"
    memory_mib: int | None = None
    preset: str | None = None
    steps: int | None = None
    samples: int | None = None
    seed: int = 0
    budget_ms: float | None = None
    policy: Policy = "auto"
    queue_frames: int | None = None
    fps: float | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise OptionError(f"got policy '{self.policy}'; wanted is one of {', '.join(POLICIES)}")
        for name in ("budget_ms", "queue_frames", "fps", "max_frames"):
            value = getattr(self, name)
            # A comparison that NaN fails as well.
            if value is not None and not 0.0 < value < float("inf"):
                raise OptionError(f"got {name} {value}; wanted is a number above 0, or None")
