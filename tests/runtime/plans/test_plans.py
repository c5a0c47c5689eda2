"""Engines in a bundle: only the right one is loaded, and what is wrong with others is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from runtime.bundle import FileEntry, open_bundle, sha256
from runtime.errors import EngineError
from runtime.files import to_json
from runtime.plans.card import CARD_FORMAT, Card, Memory, Proof
from runtime.plans.devices import Device
from runtime.plans.identity import Identity
from runtime.plans.shapes import Options, Profile, graphs_of
from runtime.plans.store import Plans

AMPERE, ADA = Device("an Ampere", 86, 2**33), Device("an Ada", 89, 2**33)
VERSION = "1.7.1.116"
SHAPES = Profile((1, 3, 64, 64), (1, 3, 64, 64), (1, 3, 128, 128))
PLAN = b"a plan, which nobody reads here"


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    """The shipped bundle with an engine of each graph for sm86, as far as files can tell."""
    directory = shutil.copytree(open_bundle("tiny").directory, tmp_path / "a bundle")
    plans = Plans(open_bundle(directory))
    plans.directory.mkdir()
    for name in graphs_of(plans.bundle.manifest):
        write(plans, identity_of(plans, name))
    return plans


def identity_of(plans: Plans, name: str) -> Identity:
    manifest = plans.bundle.manifest
    return Identity(
        graph=name,
        graph_sha256=manifest.files[graphs_of(manifest)[name].file].sha256,
        library="tensorrt-rtx",
        library_version=VERSION,
        device="sm86",
        targets=(86,),
        precision=manifest.precision,
        profiles=(SHAPES,),
        options=Options(),
    )


def write(plans: Plans, identity: Identity, card_format: int = CARD_FORMAT) -> Path:
    memory, proof = Memory((1,), (1,), 1, 0), Proof("float32", {}, 0, 0, 0, 0, None)
    plan = FileEntry(len(PLAN), sha256(PLAN))
    card = Card(card_format, identity, plan, memory, proof, 1.0)
    path = plans.directory / card.file
    path.write_bytes(PLAN)
    path.with_suffix(".json").write_bytes(to_json(card))
    return path


def only(plans: Plans, **changes: object) -> None:
    """Leave one engine of the step, which differs in ``changes``."""
    for path in plans.directory.iterdir():
        path.unlink()
    write(plans, msgspec.structs.replace(identity_of(plans, "step"), **changes))


def refusal(plans: Plans, device: Device = AMPERE, version: str = VERSION) -> str:
    with pytest.raises(EngineError) as caught:
        plans.runnable("step", "tensorrt-rtx", version, device)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_engine_for_this_gpu_version_and_graph_is_found_and_read(plans: Plans) -> None:
    [card] = plans.runnable("step", "tensorrt-rtx", VERSION, AMPERE)
    assert card.identity == identity_of(plans, "step")
    assert plans.load(card.identity) == PLAN


def test_an_engine_for_ampere_and_later_serves_them_all(plans: Plans) -> None:
    only(plans, targets=(), device="sm80 and later")
    assert plans.runnable("step", "tensorrt-rtx", VERSION, ADA)
    assert "sm75" in refusal(plans, Device("a Turing", 75, 2**33))


def test_an_engine_of_tensorrt_serves_only_the_gpu_that_it_was_built_on(plans: Plans) -> None:
    only(plans, library="tensorrt", targets=(), device=str(AMPERE))
    assert plans.runnable("step", "tensorrt", VERSION, AMPERE)
    with pytest.raises(EngineError, match="an Ada"):
        plans.runnable("step", "tensorrt", VERSION, ADA)


def test_an_engine_for_another_gpu_is_refused_with_a_command_that_serves_both(
    plans: Plans,
) -> None:
    said = refusal(plans, ADA)
    assert "device: it has sm86, wanted is an Ada (sm89" in said
    assert "--library tensorrt-rtx --target sm86,sm89" in said


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"library_version": "1.6"}, "library version: it has 1.6, wanted is 1.7.1.116"),
        ({"graph_sha256": "ab" * 32}, "graph sha256: it has abababababab, wanted is"),
        ({"precision": "float16"}, "precision: it has float16, wanted is float32"),
        ({"options": Options(strip_weights=True)}, "no weights (--strip-weights)"),
    ],
)
def test_a_stale_engine_is_refused_naming_what_differs_and_the_rebuild(
    plans: Plans, changes: dict[str, object], named: str
) -> None:
    only(plans, **changes)
    said = refusal(plans)
    assert named in said
    assert f"python -m export.trt '{plans.bundle.directory}'" in said
    assert "--strip-weights" not in said.split("python -m export.trt")[1]


def test_a_damaged_plan_is_refused(plans: Plans) -> None:
    card = plans.runnable("step", "tensorrt-rtx", VERSION, AMPERE)[0]
    (plans.directory / card.file).write_bytes(PLAN[:-1])
    assert "plan: it has other bytes than its card describes" in refusal(plans)
    with pytest.raises(EngineError, match="is not the file that its card describes; build it"):
        plans.load(card.identity)


def test_of_several_engines_the_one_that_fits_is_taken(plans: Plans) -> None:
    write(plans, msgspec.structs.replace(identity_of(plans, "step"), library_version="1.6"))
    [card] = plans.runnable("step", "tensorrt-rtx", VERSION, AMPERE)
    assert card.identity.library_version == VERSION


def test_without_an_engine_the_command_that_builds_one_is_named(plans: Plans) -> None:
    shutil.rmtree(plans.directory)
    said = refusal(plans)
    assert f"python -m export.trt '{plans.bundle.directory}' --library tensorrt-rtx" in said


def test_an_engine_of_the_other_library_is_not_taken_for_this_one(plans: Plans) -> None:
    with pytest.raises(EngineError, match=r"another library.*--library tensorrt$"):
        plans.runnable("step", "tensorrt", VERSION, AMPERE)


@pytest.mark.parametrize("suffix", [".plan", ".json"])
def test_nothing_is_read_through_a_link_that_leads_out_of_the_bundle(
    plans: Plans, tmp_path: Path, suffix: str
) -> None:
    path = (plans.directory / identity_of(plans, "step").key).with_suffix(suffix)
    outside = path.rename(tmp_path / f"outside{suffix}")
    path.symlink_to(outside)
    assert "build it" in refusal(plans)


def test_a_card_of_a_later_format_or_under_another_name_is_no_engine(plans: Plans) -> None:
    identity = identity_of(plans, "step")
    write(plans, identity, CARD_FORMAT + 1)
    refusal(plans)
    path = write(plans, identity).with_suffix(".json")
    path.rename(path.with_stem("0" * 32))
    refusal(plans)
