"""What to build: sizes, profiles and options, checked before a builder sees them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from runtime.errors import OptionError
from runtime.plans.shapes import Counts, Options, Profile, Size, SizeRange

MIB = 2**20
_UNITS = {"": MIB, "mib": MIB, "gib": 2**30}
_LEVELS = range(6)


@dataclass(frozen=True)
class BuildConfig:
    """One run of ``python -m export.trt``.

    ``pictures`` is the predictor's batch, ``samples`` the step's samples of each picture.
    ``targets`` are compute capabilities (8.6 is 86), for libraries that build for other GPUs;
    none is this machine's GPU for ``tensorrt``, and Ampere and later for ``tensorrt-rtx``.
    """

    sizes: tuple[SizeRange, ...]
    pictures: Counts = field(default_factory=Counts)
    samples: Counts = field(default_factory=Counts)
    targets: tuple[int, ...] = ()
    options: Options = field(default_factory=Options)

    def profiles(self, graph: str) -> tuple[Profile, ...]:
        """The shapes of graph "predictor" or "step"; the step's batch is pictures x samples."""
        times = self.samples if graph == "step" else Counts()
        batch = Counts(
            self.pictures.min * times.min,
            self.pictures.opt * times.opt,
            self.pictures.max * times.max,
        )
        return tuple(_profile(sizes, batch) for sizes in self.sizes)


def _profile(sizes: SizeRange, batch: Counts) -> Profile:
    corners = zip((batch.min, batch.opt, batch.max), (sizes.min, sizes.opt, sizes.max), strict=True)
    shapes = [(count, 3, size.height_px, size.width_px) for count, size in corners]
    return Profile(*shapes)


def parse_size(text: str) -> Size:
    """``1280x720`` to a size; raises OptionError."""
    found = re.fullmatch(r"([1-9]\d{0,5})[xX]([1-9]\d{0,5})", text.strip())
    if found is None:
        raise OptionError(f"got size '{text}'; wanted is WIDTHxHEIGHT in pixels, such as 1280x720")
    return Size(int(found[1]), int(found[2]))


def parse_counts(text: str, option: str) -> Counts:
    """``4``, ``1:4`` (tuned for the largest) or ``1:2:4`` to counts; raises OptionError."""
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"[1-9]\d{0,3}", part) for part in parts):
        raise OptionError(f"got {option} '{text}'; wanted is 4, or MIN:MAX, or MIN:OPT:MAX")
    numbers = [int(part) for part in parts]
    counts = Counts(numbers[0], numbers[1] if len(numbers) == 3 else numbers[-1], numbers[-1])
    if not counts.min <= counts.opt <= counts.max:
        raise OptionError(f"got {option} {text}; wanted is MIN <= OPT <= MAX: put them in order")
    return counts


def parse_targets(text: str) -> tuple[int, ...]:
    """``sm86,sm120`` to (86, 120), sorted; raises OptionError."""
    names = [name.strip().lower() for name in text.split(",")]
    found = [re.fullmatch(r"sm(\d{2,3})", name) for name in names]
    for name, match in zip(names, found, strict=True):
        if match is None:
            raise OptionError(f"got target '{name}'; wanted are names such as sm86,sm89,sm120")
    return tuple(sorted({int(match[1]) for match in found if match is not None}))


def parse_mib(text: str, option: str) -> int:
    """``2GiB``, ``512MiB`` or ``512`` to MiB; raises OptionError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(mib|gib|)", text.strip().lower())
    if found is None or (mib := int(float(found[1]) * _UNITS[found[2]] / MIB)) < 1:
        raise OptionError(f"got {option} '{text}'; wanted is memory such as 512MiB or 2GiB")
    return mib


def check_level(level: int | None) -> int | None:
    """The builder's optimisation level, 0 to 5; raises OptionError."""
    if level is not None and level not in _LEVELS:
        # Both libraries would take a larger number and use 5 without a word.
        raise OptionError(f"got optimisation level {level}; wanted is 0 (quick build) to 5")
    return level


def plan_sizes(
    low: Sequence[Size],
    tuned: Sequence[Size],
    high: Sequence[Size],
    pinned: Sequence[Size],
    multiple_px: int,
) -> tuple[SizeRange, ...]:
    """The n-th range from the n-th of each; then one range of one size for each that is pinned.

    Where nothing is asked for, one range from the smallest sensible size to full HD. A bound that
    is not given for any range takes that range's default. Raises OptionError.
    """
    defaults = {"min": Size(64, 64), "opt": Size(1280, 720), "max": Size(1920, 1088)}
    count = max(len(low), len(tuned), len(high)) or (0 if pinned else 1)
    columns = []
    for (name, default), given in zip(defaults.items(), (low, tuned, high), strict=True):
        if len(given) not in (0, count):
            raise OptionError(
                f"got {len(given)} times --{name} for {count} profiles; "
                "give --min, --opt and --max equally often, or leave one out everywhere"
            )
        columns.append(list(given) or [default.rounded_up(multiple_px)] * count)
    ranges = [_range(*corners, given_opt=bool(tuned)) for corners in zip(*columns, strict=True)]
    ranges += [SizeRange(size, size, size) for size in pinned]
    for sizes in ranges:
        _check_range(sizes, multiple_px)
    if len(set(ranges)) < len(ranges):
        raise OptionError("got the same profile twice; each one costs build time and memory")
    return tuple(ranges)


def _range(low: Size, tuned: Size, high: Size, *, given_opt: bool) -> SizeRange:
    ordered = low.fits(low, high)
    return SizeRange(low, tuned if given_opt or not ordered else tuned.within(low, high), high)


def _check_range(sizes: SizeRange, multiple_px: int) -> None:
    for size in (sizes.min, sizes.opt, sizes.max):
        legal = size.rounded_up(multiple_px)
        if size != legal:
            raise OptionError(
                f"got size {size}; this model takes multiples of {multiple_px} on both sides, and "
                f"the runtime pads a picture up to them: write {legal}"
            )
    if not (sizes.min.fits(sizes.min, sizes.opt) and sizes.opt.fits(sizes.opt, sizes.max)):
        raise OptionError(
            f"got sizes {sizes.min} .. {sizes.opt} .. {sizes.max}; wanted is min <= opt <= max "
            "on both sides: change --min, --opt or --max"
        )
