from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runtime.batch.settings import Settings, differences, make_recipe
from runtime.errors import BundleError, OptionError


def test_what_is_left_out_is_the_default_presets(small_bundle: Path) -> None:
    bundle = str(small_bundle)
    spelled_out = Settings(bundle=bundle, preset="balanced", steps=10, samples=4)
    assert make_recipe(Settings(bundle=bundle)) == make_recipe(spelled_out)


def test_views_and_memory_do_not_change_the_recipe(small_bundle: Path) -> None:
    bundle = str(small_bundle)
    other = Settings(bundle=bundle, memory_mib=500, comparison=True, std=True)
    assert make_recipe(Settings(bundle=bundle)) == make_recipe(other)


def test_the_bundles_checksum_is_in_the_recipe(small_bundle: Path) -> None:
    own, shipped = make_recipe(Settings(bundle=str(small_bundle))), make_recipe(Settings())
    assert own.bundle_sha256 != shipped.bundle_sha256


def test_differences_are_told_field_by_field(small_bundle: Path) -> None:
    recipe = make_recipe(Settings(bundle=str(small_bundle)))
    other = msgspec.structs.replace(recipe, steps=4, seed=1)
    assert differences(recipe, other) == "steps 10, now 4; seed 0, now 1"


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 501},
        {"steps": -1},
        {"samples": 0},
        {"samples": 5000},
        {"seed": -1},
        {"strength": 0.0},
        {"preset": "none"},
        {"std": True, "samples": 1},
        {"std": True, "steps": 0},
        {"std": True, "preset": "realtime"},
    ],
)
def test_settings_that_cannot_be_are_refused_before_any_work(
    small_bundle: Path, options: dict[str, object]
) -> None:
    with pytest.raises(OptionError):
        make_recipe(Settings(bundle=str(small_bundle), **options))  # type: ignore[arg-type]


def test_a_missing_bundle_is_refused() -> None:
    with pytest.raises(BundleError, match="no-such-bundle"):
        make_recipe(Settings(bundle="no-such-bundle"))
