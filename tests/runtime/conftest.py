"""Engines of the tests' own, opened like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import Session
from runtime.engines import ENGINES, Engine
from runtime.engines.registry import Kind

OpenWith = Callable[..., Session]


@pytest.fixture(scope="module")
def session(small_bundle: Path) -> Session:
    """The small bundle on the processor."""
    return Session(small_bundle, engine="onnx-cpu")


@pytest.fixture
def open_with(monkeypatch: pytest.MonkeyPatch) -> OpenWith:
    """A session of the default bundle on the given engine."""

    def open_session(engine: Engine, **options: object) -> Session:
        monkeypatch.setitem(ENGINES, "given", Kind(lambda *_: engine, lambda _: None))
        return Session(engine="given", **options)  # type: ignore[arg-type]

    return open_session
