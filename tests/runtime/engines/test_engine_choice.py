from __future__ import annotations

from pathlib import Path

import pytest

from runtime import EngineError, OptionError, Session
from runtime.bundle import Bundle, open_bundle
from runtime.engines import AUTO_ORDER, ENGINES, Engine, choose_engine, open_engine
from runtime.engines.fake import FakeEngine
from runtime.engines.registry import Kind


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle()


def kind(obstacle: str | None, reluctance: str | None = None) -> Kind:
    return Kind(lambda *_: FakeEngine(), lambda _: obstacle, lambda _: reluctance)


@pytest.fixture
def three_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of auto with one engine that cannot, one that had better not, and one that can."""
    first, second, third, *rest = AUTO_ORDER
    monkeypatch.setitem(ENGINES, first, kind("no GPU"))
    monkeypatch.setitem(ENGINES, second, kind(None, "no engines are built"))
    monkeypatch.setitem(ENGINES, third, kind(None))
    for name in rest:
        monkeypatch.setitem(ENGINES, name, kind(None))


@pytest.mark.usefixtures("three_engines")
def test_auto_takes_the_first_that_can_and_says_why(bundle: Bundle) -> None:
    first, second, third, *_ = AUTO_ORDER
    name, reason = choose_engine("auto", bundle)
    assert name == third
    assert reason.startswith(f"auto took {third}")
    assert f"not {first}: no GPU; not {second}: no engines are built" in reason
    assert "\n" not in reason


@pytest.mark.usefixtures("three_engines")
def test_an_engine_that_auto_passes_over_can_be_named(bundle: Bundle) -> None:
    assert choose_engine(AUTO_ORDER[1], bundle)[0] == AUTO_ORDER[1]


@pytest.mark.usefixtures("three_engines")
def test_an_engine_that_cannot_run_is_refused_when_named(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=f"'{AUTO_ORDER[0]}' cannot run: no GPU"):
        open_engine(AUTO_ORDER[0], bundle)


def test_auto_never_goes_on_to_the_next_when_one_fails_to_open(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Engine:
        raise EngineError("the driver is too old")

    monkeypatch.setitem(ENGINES, AUTO_ORDER[0], Kind(fail, lambda _: None))
    with pytest.raises(EngineError, match="the driver is too old"):
        open_engine("auto", bundle)


def test_where_nothing_can_run_every_reason_is_told(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in AUTO_ORDER:
        monkeypatch.setitem(ENGINES, name, kind(f"{name} lacks something"))
    with pytest.raises(EngineError, match="onnx-cpu lacks something"):
        choose_engine("auto", bundle)


def test_auto_takes_neither_the_fake_nor_the_reference() -> None:
    assert not {"fake", "torch"} & set(AUTO_ORDER)
    assert set(AUTO_ORDER) <= set(ENGINES)


def test_a_graph_mode_that_is_none_is_refused(bundle: Bundle) -> None:
    with pytest.raises(OptionError, match="auto, on, off"):
        open_engine("fake", bundle, graph="sometimes")  # type: ignore[arg-type]


def test_a_session_tells_why_it_has_its_engine() -> None:
    assert Session(engine="fake").engine_reason == "fake was named"


@pytest.mark.parametrize("name", ["onnx-cuda", "onnx-tensorrt", "tensorrt", "tensorrt-rtx"])
def test_an_engine_on_a_gpu_without_one_is_one_clear_error(
    name: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.plans.devices._driver", lambda: None)
    with pytest.raises(EngineError, match=rf"engine '{name}' cannot run: .*(install|type)"):
        open_engine(name, bundle)


def test_torch_without_programs_in_the_bundle_is_refused(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="--with-torch"):
        open_engine("torch", bundle)


def test_engines_in_the_bundle_make_auto_consider_tensorrt(tmp_path: Path) -> None:
    import shutil

    copy = open_bundle(shutil.copytree(open_bundle().directory, tmp_path / "bundle"))
    reluctance = ENGINES["tensorrt"].reluctance
    told = reluctance(copy)
    assert told is not None
    assert "export.trt" in told
    (copy.directory / "engines").mkdir(exist_ok=True)
    (copy.directory / "engines" / "abc.plan").write_bytes(b"")
    assert reluctance(copy) is None
