"""What makes an engine the right one: its identity, the hash of it, and how two of them differ."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

import msgspec

from runtime.errors import EngineError
from runtime.plans.shapes import Counts, Options, Profile, Size, SizeRange

_KEY_DIGITS = 32


class Identity(msgspec.Struct, frozen=True):
    """Everything that an engine depends on; two engines of one identity are interchangeable.

    ``device`` is the GPU that it was built on, or the compute capabilities that it was built for;
    ``targets`` are the latter as numbers, empty for the library's own choice.
    """

    graph: str
    graph_sha256: str
    library: str
    library_version: str
    device: str
    targets: tuple[int, ...]
    precision: str
    profiles: tuple[Profile, ...]
    options: Options

    @property
    def key(self) -> str:
        """32 hexadecimal digits: the name of the engine's files."""
        encoded = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(encoded).hexdigest()[:_KEY_DIGITS]


class Difference(msgspec.Struct, frozen=True):
    """One part in which an engine is not the one wanted."""

    part: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.part}: it has {self.found}, wanted is {self.wanted}"


def differences(found: Identity, wanted: Identity) -> list[Difference]:
    """The parts that differ, in the order in which they matter; empty for the same identity."""
    apart = [
        Difference(name.replace("_", " "), _show(ours), _show(theirs))
        for name in Identity.__struct_fields__
        if name not in ("options", "targets")  # "device" tells the targets in words
        for ours, theirs in [(getattr(found, name), getattr(wanted, name))]
        if ours != theirs
    ]
    for name in Options.__struct_fields__:
        ours, theirs = getattr(found.options, name), getattr(wanted.options, name)
        if ours != theirs:
            apart.append(Difference(f"option {_flag(name)}", _show(ours), _show(theirs)))
    return apart


def rebuild_command(bundle: str, identity: Identity) -> str:
    """The command line that builds engines of this kind for the bundle as it is now."""
    words = [f"python -m export.trt {shlex.quote(bundle)} --library {identity.library}"]
    if identity.targets:
        words.append("--target " + ",".join(f"sm{sm}" for sm in identity.targets))
    for profile in identity.profiles:
        words.append(_sizes(profile.sizes))
    words.append(_batch(identity.graph, identity.profiles[0].counts))
    for name in Options.__struct_fields__:
        value = getattr(identity.options, name)
        if value not in (None, False):
            words.append(_flag(name) if value is True else f"{_flag(name)} {value}")
    return " ".join(word for word in words if word)


def pick_profile(bundle: str, identity: Identity, size: Size, batch: int, multiple_px: int) -> int:
    """The profile that serves ``batch`` pictures of ``size``: of several, the nearest tuned for.

    ``size`` is what the graph gets, after padding. Raises EngineError, naming the nearest legal
    size and the command that builds an engine for this one.
    """
    legal = size.rounded_up(multiple_px)
    if legal != size:
        raise EngineError(
            f"got size {size}; this model takes multiples of {multiple_px} on both sides: pad the "
            f"picture to {legal}"
        )
    serving = [
        (abs(profile.sizes.opt.pixels - size.pixels), index)
        for index, profile in enumerate(identity.profiles)
        if size.fits(profile.sizes.min, profile.sizes.max)
        and profile.counts.min <= batch <= profile.counts.max
    ]
    if serving:
        return min(serving)[1]
    near = [size.within(profile.sizes.min, profile.sizes.max) for profile in identity.profiles]
    nearest = min(near, key=lambda other: abs(other.pixels - size.pixels))
    served = " and ".join(str(profile) for profile in identity.profiles)
    raise EngineError(
        f"got {batch} x {size} for the {identity.graph}; its engine takes {served}; the nearest "
        f"legal size is {nearest}; to build one for {size} too: "
        f"{rebuild_command(bundle, _widened(identity, size, batch))}"
    )


def _widened(identity: Identity, size: Size, batch: int) -> Identity:
    first = identity.profiles[0]
    low, high = first.min, first.max
    low = (min(low[0], batch), 3, min(low[2], size.height_px), min(low[3], size.width_px))
    high = (max(high[0], batch), 3, max(high[2], size.height_px), max(high[3], size.width_px))
    profiles = (Profile(low, first.opt, high), *identity.profiles[1:])
    return msgspec.structs.replace(identity, profiles=profiles)


def _sizes(sizes: SizeRange) -> str:
    if sizes.min == sizes.max:
        return f"--pin {sizes.max}"
    return f"--min {sizes.min} --opt {sizes.opt} --max {sizes.max}"


def _batch(graph: str, counts: Counts) -> str:
    option = "--samples" if graph == "step" else "--pictures"
    return "" if counts == Counts() else f"{option} {counts}"


def _flag(name: str) -> str:
    return "--workspace" if name == "workspace_mib" else f"--{name.replace('_', '-')}"


def _show(value: Any) -> str:
    if value is None:
        return "the library's own"
    if isinstance(value, tuple):
        return " and ".join(str(item) for item in value)
    text = str(value)
    # A checksum's first digits tell it from any other.
    return text[:12] if len(text) == 64 else text
