"""What a batch is made with, as asked for and as it is meant."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from runtime.bundle import MANIFEST, Bundle, open_bundle, sha256
from runtime.errors import OptionError
from runtime.noise import check_seed
from runtime.samplers import compile_table, with_steps
from runtime.session import MAX_SAMPLES, choose_self_ensemble, choose_strength


@dataclass(frozen=True)
class Settings:
    """As asked for on the command line; None leaves the choice to the bundle or the machine."""

    bundle: str | None = None
    engine: str = "auto"
    memory_mib: int | None = None
    preset: str | None = None
    steps: int | None = None
    samples: int | None = None
    self_ensemble: bool | None = None
    strength: float | None = None
    seed: int = 0
    comparison: bool = False
    std: bool = False


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that decides what a picture becomes, spelled out: equal recipes, equal pictures.

    ``bundle_sha256`` is that of the manifest, which holds those of all other files. Memory is not
    in it: tiles change a picture by a grey level at most, almost everywhere.
    """

    bundle: str
    bundle_sha256: str
    engine: str
    preset: str
    steps: int
    samples: int
    seed: int
    self_ensemble: bool = False
    strength: float = 1.0


def make_recipe(settings: Settings) -> Recipe:
    """Spell ``settings`` out; raises OptionError and BundleError where they cannot be."""
    bundle = open_bundle(settings.bundle)
    preset = bundle.preset(settings.preset)
    steps = preset.sampler.steps if settings.steps is None else settings.steps
    samples = preset.samples if settings.samples is None else settings.samples
    _check_steps(bundle, settings.preset, steps)
    if not 1 <= samples <= MAX_SAMPLES:
        raise OptionError(f"got {samples} samples; wanted are 1 to {MAX_SAMPLES}")
    if settings.std and (samples == 1 or steps == 0):
        raise OptionError(
            f"got --std with {samples} sample(s) of {steps} steps, which have no spread; "
            "take at least 2 samples and 1 step"
        )
    return Recipe(
        bundle=bundle.manifest.name,
        bundle_sha256=sha256(bundle.path(MANIFEST).read_bytes()),
        engine=settings.engine,
        preset=bundle.manifest.default_preset if settings.preset is None else settings.preset,
        steps=steps,
        samples=samples,
        seed=check_seed(settings.seed),
        self_ensemble=choose_self_ensemble(preset, settings.self_ensemble),
        strength=choose_strength(preset, settings.strength),
    )


def differences(before: Recipe, now: Recipe) -> str:
    """The fields in which two recipes differ, for people: ``steps 10, now 4; seed 0, now 1``."""
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(now)
    return "; ".join(
        f"{name} {_short(old[name])}, now {_short(new[name])}"
        for name in old
        if old[name] != new[name]
    )


def _short(value: object) -> str:
    """A checksum is told by its first digits."""
    return str(value)[:12]


def _check_steps(bundle: Bundle, preset: str | None, steps: int) -> None:
    sampler = bundle.preset(preset).sampler
    if steps != sampler.steps:
        compile_table(with_steps(sampler, steps), bundle.manifest.prediction)
