"""Real engines, built by tensorrt-rtx, which needs no GPU for that."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from export.check import main as check
from export.engines.builder import Builder, build_engines
from export.engines.library import Library
from export.engines.plan import BuildConfig
from export.engines.store import Store
from export.trt import main
from runtime.bundle import open_bundle, sha256
from runtime.errors import EngineError, OptionError
from runtime.plans.shapes import Options, Size, SizeRange

pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")

SMALL = SizeRange(Size(64, 64), Size(64, 64), Size(128, 128))
CONFIG = BuildConfig((SMALL,), targets=(86,))
SHAPE = ("--min", "64x64", "--opt", "64x64", "--max", "128x128", "--target", "sm86")


def contents(directory: Path) -> dict[str, str]:
    """The checksum of every file below ``directory``."""
    return {
        str(path.relative_to(directory)): sha256(path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


def build(directory: Path, library: Library, config: BuildConfig = CONFIG) -> list[bool]:
    """Build and return, engine by engine, whether it was built now."""
    finished = build_engines(open_bundle(directory), library, config, say=lambda _: None)
    return [entry.is_new for entry in finished]


def test_both_engines_of_three_targets_are_built_without_a_gpu(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--library", "tensorrt-rtx", "--samples", "1:4", "--opt", "64x64")
    targets = ("--target", "sm86,sm89,sm120", "--max", "128x128")
    assert main([str(bundle), *options, *targets]) == 0
    said = capsys.readouterr().out
    assert "as asked for" in said
    assert "sm86+sm89+sm120" in said
    assert said.count("float32 proved: 53 convolutions") == 2
    assert said.count("scratch") == 2
    assert len(list((bundle / "engines").glob("*.plan"))) == 2


def test_the_card_and_the_manifest_hold_what_the_builder_stated(built_bundle: Path) -> None:
    cards = Store(open_bundle(built_bundle)).cards()
    assert {card.identity.graph for card in cards} == {"predictor", "step"}
    listed = json.loads((built_bundle / "manifest.json").read_text())["engines"]
    for card in cards:
        plan = (built_bundle / "engines" / card.file).read_bytes()
        assert card.plan.sha256 == sha256(plan)
        assert card.memory.scratch[0] > 64 * 128 * 128
        entry = listed[card.identity.key]
        assert entry["profiles"][0]["scratch_bytes"] == card.memory.scratch[0]
        assert entry["file"] == f"engines/{card.file}"


def test_engines_are_not_among_the_files_that_the_bundle_vouches_for(
    built_bundle: Path, small_bundle: Path
) -> None:
    manifest = open_bundle(built_bundle).manifest
    assert manifest == open_bundle(small_bundle).manifest
    assert not any("engines" in name for name in manifest.files)


def test_a_larger_profile_states_more_scratch_memory(bundle: Path, library: Library) -> None:
    builder = Builder(library, open_bundle(bundle), print)
    sizes = [Size(128, 128), Size(512, 512)]
    config = BuildConfig(tuple(SizeRange(size, size, size) for size in sizes), targets=(86,))
    card, _ = builder.build(builder.identities(config)["step"])
    small, large = card.memory.scratch
    assert 4 * small < large


def test_an_engine_that_is_there_is_not_built_again(with_engines: Path, library: Library) -> None:
    before = contents(with_engines)
    assert build(with_engines, library) == [False, False]
    assert contents(with_engines) == before


@pytest.mark.parametrize(
    "config",
    [
        BuildConfig((SMALL,), targets=(86, 89)),
        BuildConfig((SizeRange(SMALL.min, SMALL.max, SMALL.max),), targets=(86,)),
        BuildConfig((SMALL,), targets=(86,), options=Options(tf32=True)),
    ],
    ids=["targets", "profiles", "options"],
)
def test_a_build_of_another_kind_is_another_engine(
    with_engines: Path, library: Library, config: BuildConfig
) -> None:
    assert build(with_engines, library, config) == [True, True]
    assert len(Store(open_bundle(with_engines)).cards()) == 4


def test_an_engine_of_another_graph_is_named_and_not_loaded(
    with_engines: Path, library: Library
) -> None:
    bundle = open_bundle(with_engines)
    wanted = Builder(library, bundle, print).identities(CONFIG)["step"]
    assert Store(bundle).load(wanted)
    other = msgspec.structs.replace(wanted, graph_sha256="0" * 64)
    with pytest.raises(EngineError, match=r"graph sha256: it has .* wanted is 0000") as caught:
        Store(bundle).load(other)
    assert "python -m export.trt" in str(caught.value)


def test_an_engine_of_another_version_is_an_obstacle_and_named(with_engines: Path) -> None:
    store = Store(open_bundle(with_engines))
    card = store.cards()[0]
    assert not store.obstacles(card, {"tensorrt-rtx": card.identity.library_version}, None)
    [difference] = store.obstacles(card, {"tensorrt-rtx": "9.9"}, None)
    assert (
        str(difference) == f"library version: it has {card.identity.library_version}, wanted is 9.9"
    )


def test_a_damaged_plan_is_not_loaded_and_is_built_again(
    with_engines: Path, library: Library
) -> None:
    bundle = open_bundle(with_engines)
    wanted = Builder(library, bundle, print).identities(CONFIG)["step"]
    path = with_engines / "engines" / f"{wanted.key}.plan"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EngineError, match="not the file that its card describes"):
        Store(bundle).load(wanted)
    assert build(with_engines, library) == [False, True]
    assert Store(bundle).load(wanted)


def test_a_card_under_the_name_of_another_is_no_engine(
    with_engines: Path, library: Library
) -> None:
    bundle = open_bundle(with_engines)
    both = Builder(library, bundle, print).identities(CONFIG)
    step, predictor = both["step"].key, both["predictor"].key
    for suffix in ("json", "plan"):
        source = with_engines / "engines" / f"{predictor}.{suffix}"
        shutil.copy(source, with_engines / "engines" / f"{step}.{suffix}")
    assert Store(bundle).find(both["step"]) is None


def test_two_builds_at_once_leave_two_whole_engines(bundle: Path) -> None:
    command = [sys.executable, "-m", "export.trt", str(bundle), *SHAPE]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    store = Store(open_bundle(bundle))
    assert len(store.cards()) == 2
    assert not any(store.obstacles(card, versions_of(store), None) for card in store.cards())
    assert "".join(said).count("built in") == 2
    assert "".join(said).count("was there already") == 2


def test_a_build_that_waits_goes_on_when_the_first_one_fails_and_clears_up(bundle: Path) -> None:
    store = Store(open_bundle(bundle))
    waits, done = threading.Event(), threading.Event()

    def second() -> None:
        with store.writing(waits.set):
            done.set()

    thread = threading.Thread(target=second)

    def first() -> None:
        with store.writing(lambda: None):
            thread.start()
            assert waits.wait(10)
            raise EngineError("failed")

    with pytest.raises(EngineError, match="failed"):
        first()
    assert done.wait(10)
    thread.join()


def versions_of(store: Store) -> dict[str, str]:
    return {card.identity.library: card.identity.library_version for card in store.cards()}


def test_a_limit_names_the_largest_size_that_fits_and_it_does(
    bundle: Path, library: Library
) -> None:
    size = Size(512, 512)
    config = BuildConfig((SizeRange(Size(64, 64), size, size),), targets=(86,))
    opened, limit = open_bundle(bundle), 40
    with pytest.raises(OptionError, match="the largest size of this shape") as caught:
        build_engines(opened, library, config, memory_limit_mib=limit, say=lambda _: None)
    assert not (bundle / "engines").exists()
    side = int(str(caught.value).split(" is ")[-1].split("x")[0])

    def needed(side_px: int) -> int:
        top = Size(side_px, side_px)
        smaller = BuildConfig((SizeRange(Size(64, 64), top, top),), targets=(86,))
        builder = Builder(library, opened, print)
        identities = builder.identities(smaller).values()
        return sum(builder.build(identity)[0].memory.needed(0) for identity in identities)

    assert needed(side) <= limit * 2**20 < needed(side + 8)


def test_the_dry_run_prints_the_plan_and_writes_nothing(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(bundle)
    assert main([str(bundle), *SHAPE, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "64x64 .. 64x64 .. 128x128" in said
    assert said.count("would be built") == 2
    assert contents(bundle) == before


def test_the_list_says_of_each_engine_whether_it_can_be_loaded(
    with_engines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(with_engines), "--list"]) == 0
    assert capsys.readouterr().out.count("can be loaded") == 2
    store = Store(open_bundle(with_engines))
    (with_engines / "engines" / store.cards()[0].file).write_bytes(b"")
    assert main([str(with_engines), "--list"]) == 0
    said = capsys.readouterr().out
    assert "other bytes than its card describes" in said
    assert "rebuild: python -m export.trt" in said


BAD = {
    "size": (["--max", "1920"], "WIDTHxHEIGHT"),
    "size rule": (["--max", "1921x1088"], "1928x1088"),
    "order": (["--min", "640x480", "--max", "320x240"], "min <= opt <= max"),
    "unknown target": (["--target", "sm10"], "sm75,sm80,sm86"),
    "refit": (["--refit"], "GPU"),
    "stripped": (["--strip-weights"], "GPU"),
    "version": (["--version-compatible"], "lean runtime"),
    "hardware": (["--hardware-compatible"], "--target"),
    "timing cache": (["--timing-cache", "x"], "leave it out"),
    "workspace": (["--workspace", "none"], "512MiB"),
    "little workspace": (["--workspace", "1"], "--workspace"),
    "limit": (["--memory-limit", "1MiB"], "no size of this shape fits"),
    "level": (["--optimization-level", "7"], "0 "),
    "turing": (["--target", "sm75"], "leave sm75 out"),
}


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_with_what_to_do_and_changes_nothing(
    bundle: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(bundle)
    small = [] if {"--max", "--min"} & set(options) else ["--opt", "64x64", "--max", "128x128"]
    assert main([str(bundle), "--library", "tensorrt-rtx", *small, *options]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert says in said
    assert contents(bundle) == before


def test_a_library_that_is_not_installed_says_how_to_get_it(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from export.engines.library import installed

    if "tensorrt" in installed():
        pytest.skip("tensorrt is installed here")
    assert main([str(bundle), "--library", "tensorrt"]) == 2
    assert "pip install 'dvsr-edge[trt]'" in capsys.readouterr().err


def test_without_any_library_it_says_which_to_install(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main([str(bundle), *SHAPE]) == 2
    said = capsys.readouterr().err.strip()
    assert "neither tensorrt nor tensorrt-rtx is installed" in said
    assert "pip install 'dvsr-edge[rtx]'" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("command", [main, check], ids=["trt", "check"])
def test_a_bundle_with_a_truncated_graph_is_not_opened(
    bundle: Path, command: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle / "predictor.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    before = contents(bundle)
    assert command([str(bundle)]) == 2
    said = capsys.readouterr().err.strip()
    assert "copy or export the bundle again" in said
    assert len(said.splitlines()) == 1
    assert contents(bundle) == before


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[: len(data) // 2], lambda data: b"not a model at all", lambda data: b""],
    ids=["truncated", "other", "empty"],
)
def test_a_graph_that_cannot_be_read_is_said_before_anything_is_built(
    bundle: Path, library: Library, spoil: Callable[[bytes], bytes]
) -> None:
    opened = open_bundle(bundle)
    path = bundle / "predictor.onnx"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(EngineError, match=r"predictor\.onnx"):
        build_engines(opened, library, CONFIG, say=lambda _: None)
    assert not (bundle / "engines").exists()


@pytest.mark.slow
@pytest.mark.parametrize("opset", [20, 21])
def test_graphs_of_later_opsets_build_too(
    checkpoint: Path, bundle: Path, library: Library, opset: int
) -> None:
    from export.graphs import trace_step
    from train.checkpoint import load_model

    opened = open_bundle(bundle)
    model = trace_step(load_model(checkpoint)[0], opset).model
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]
    (bundle / "denoiser_step.onnx").write_bytes(model.SerializeToString())
    builder = Builder(library, opened, print)
    card, _ = builder.build(builder.identities(CONFIG)["step"])
    assert card.proof.convolutions == {"FLOAT": 53}


def test_a_float32_engine_is_refused_where_float16_is_promised(
    bundle: Path, library: Library
) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"precision": "float32"', '"precision": "float16"'))
    with pytest.raises(EngineError, match="not proved to be float16"):
        build(bundle, library)
    assert not (bundle / "engines").exists()
