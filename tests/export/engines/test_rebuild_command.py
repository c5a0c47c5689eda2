from __future__ import annotations

import shlex

import msgspec
import pytest

from export.trt import build_parser, read_config
from runtime.errors import EngineError
from runtime.plans.identity import Identity, differences, pick_profile, rebuild_command
from runtime.plans.shapes import Options, Profile, Size

WIDE = Profile((1, 3, 64, 64), (1, 3, 720, 1280), (4, 3, 1088, 1920))
PINNED = Profile((1, 3, 480, 640), (1, 3, 480, 640), (1, 3, 480, 640))
IDENTITY = Identity(
    graph="step",
    graph_sha256="ab" * 32,
    library="tensorrt-rtx",
    library_version="1.7.1.116",
    device="sm86+sm89",
    targets=(86, 89),
    precision="float16",
    profiles=(WIDE,),
    options=Options(),
)


def changed(**parts: object) -> Identity:
    return msgspec.structs.replace(IDENTITY, **parts)


CHANGES = [
    {"graph_sha256": "cd" * 32},
    {"library": "tensorrt"},
    {"library_version": "1.8"},
    {"device": "sm86", "targets": (86,)},
    {"precision": "float32"},
    {"profiles": (PINNED,)},
    {"options": Options(tf32=True)},
    {"options": Options(workspace_mib=1024)},
]


@pytest.mark.parametrize("parts", CHANGES)
def test_every_part_changes_the_key_and_is_named(parts: dict[str, object]) -> None:
    other = changed(**parts)
    assert other.key != IDENTITY.key
    [difference] = differences(IDENTITY, other)
    assert difference.part.split()[0] == next(iter(parts)).split("_")[0].replace(
        "options", "option"
    )


def test_equal_identities_have_one_key_and_no_difference() -> None:
    assert changed().key == IDENTITY.key
    assert not differences(changed(), IDENTITY)


def test_the_rebuild_command_builds_what_the_identity_says() -> None:
    options = Options(workspace_mib=512, optimization_level=2, tf32=True, strip_weights=True)
    wanted = changed(profiles=(WIDE,), options=options)
    words = shlex.split(rebuild_command("a bundle", wanted))
    arguments = build_parser().parse_args(words[3:])
    config = read_config(arguments, 8)
    assert arguments.bundle == "a bundle"
    assert config.options == options
    assert config.targets == wanted.targets
    assert config.profiles("step") == wanted.profiles


def test_of_several_profiles_the_nearest_tuned_one_serves() -> None:
    both = changed(profiles=(WIDE, PINNED))
    assert pick_profile("b", both, Size(640, 480), 1, 8) == 1
    assert pick_profile("b", both, Size(648, 480), 1, 8) == 0
    assert pick_profile("b", both, Size(640, 480), 4, 8) == 0


@pytest.mark.parametrize(
    ("size", "nearest"), [(Size(2560, 1440), "1920x1088"), (Size(32, 128), "64x128")]
)
def test_a_size_outside_names_the_nearest_legal_one_and_a_command_that_serves_it(
    size: Size, nearest: str
) -> None:
    with pytest.raises(EngineError, match=nearest) as caught:
        pick_profile("b", IDENTITY, size, 1, 8)
    words = shlex.split(str(caught.value).split("python -m export.trt ")[1])
    config = read_config(build_parser().parse_args(words), 8)
    wider = changed(profiles=config.profiles("step"))
    assert pick_profile("b", wider, size, 1, 8) == 0


def test_more_samples_than_the_engine_takes_are_refused() -> None:
    with pytest.raises(EngineError, match="--samples 1:1:8"):
        pick_profile("b", IDENTITY, Size(64, 64), 8, 8)


def test_a_size_off_the_rule_says_what_to_pad_to() -> None:
    with pytest.raises(EngineError, match="1280x728"):
        pick_profile("b", IDENTITY, Size(1280, 721), 1, 8)
