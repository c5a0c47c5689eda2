"""The middle stage: a session, and the plan that a time budget lets it follow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from runtime.bundle import Bundle
from runtime.camera.budget import Budget, Plan, ladder
from runtime.camera.config import CameraConfig
from runtime.camera.frames import Frame, Image
from runtime.camera.live import Clock, Say
from runtime.camera.tiling import tiles_are_faster, tiles_mib
from runtime.samplers import compile_table, with_steps
from runtime.session import Session


class SessionLike(Protocol):
    """What the pipeline needs of a ``Session``."""

    @property
    def engine(self) -> str: ...

    @property
    def bundle(self) -> Bundle: ...

    def deblur(
        self,
        image: Image,
        *,
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        preset: str | None = None,
    ) -> Image: ...


@dataclass(frozen=True)
class Deblurred:
    """A sharp frame, how it was made, and the milliseconds that took."""

    frame: Frame
    plan: Plan
    deblur_ms: float


class Deblurring:
    """Deblurs frames by the config's plan, or by the one that its budget allows.

    ``session`` is used and left open; None opens one, which ``close`` closes. One thread deblurs;
    another may ``observe``. Raises DvsrError for options that the bundle or engine refuses.
    """

    def __init__(
        self, session: SessionLike | None, config: CameraConfig, say: Say, clock: Clock
    ) -> None:
        self._config = config
        self._say = say
        self._clock = clock
        self._owned = ExitStack()
        self._owns_session = session is None
        self._session = session or self._owned.enter_context(self._open(config.memory_mib))
        self._budget: Budget | None = None
        self._measured_s = 0.0
        try:
            self._choose_plans()
        except BaseException:
            self._owned.close()
            raise

    def _open(self, memory_mib: int | None) -> Session:
        return Session(self._config.bundle, engine=self._config.engine, memory_mib=memory_mib)

    def _choose_plans(self) -> None:
        """The one plan of this run, or with a budget those that it may choose from."""
        config, bundle = self._config, self._session.bundle
        preset = bundle.preset(config.preset)
        steps = preset.sampler.steps if config.steps is None else config.steps
        samples = preset.samples if config.samples is None else config.samples
        self._plan = Plan(steps, samples if steps > 0 else 1)
        # Refused now, not at the first frame.
        compile_table(with_steps(preset.sampler, steps), bundle.manifest.prediction)
        if config.budget_ms is not None:
            self._budget = Budget(config.budget_ms, ladder(self._plan, preset.sampler))

    @property
    def engine(self) -> str:
        """The session's."""
        return self._session.engine

    @property
    def bundle(self) -> str:
        """The bundle's name."""
        return self._session.bundle.manifest.name

    @property
    def plan(self) -> Plan:
        """The plan of the latest frame."""
        return self._plan

    @property
    def measures(self) -> bool:
        """Whether ``prepare`` should see a frame before the stages start."""
        return self._budget is not None

    def close(self) -> None:
        """Close what was opened here."""
        self._owned.close()

    def prepare(self, image: Image) -> None:
        """Choose tiles and plan by measuring on ``image``: seconds, so not while frames come."""
        if self._owns_session:
            self._choose_tiles(image)
        self._measure(image)

    def deblur(self, frame: Frame) -> Deblurred:
        """One frame; a size not seen before is measured first where there is a budget."""
        if self._budget is not None:
            if not self._budget.knows(frame.size):
                self._measure(frame.image)
            self._plan = self._budget.plan
        plan = self._plan
        began_s = self._clock()
        image = self._run(self._session, frame.image, plan)
        deblur_ms = 1000.0 * (self._clock() - began_s)
        sharp = Frame(image, frame.index, frame.timestamp_ms, frame.arrived_s)
        return Deblurred(sharp, plan, deblur_ms)

    def observe(self, done: Deblurred, budgeted_ms: float) -> bool:
        """Let the budget learn from a frame; True where it changed the plan.

        ``budgeted_ms`` is the time that the budget is for. What arrived while plans were being
        measured had to wait for that, and says nothing.
        """
        if self._budget is None or done.frame.arrived_s < self._measured_s:
            return False
        change = self._budget.observe(done.frame.size, done.plan, done.deblur_ms, budgeted_ms)
        if change is not None:
            self._say(change)
        return change is not None

    def _choose_tiles(self, image: Image) -> None:
        """Keep the session as it is, or go on with one of smaller tiles where that is faster."""
        manifest = self._session.bundle.manifest
        memory_mib = tiles_mib(manifest, image.shape[0], image.shape[1], self._config.memory_mib)
        if memory_mib is None:
            return
        with ExitStack() as opened:
            tiled = opened.enter_context(self._open(memory_mib))
            faster, whole_ms, tiled_ms = tiles_are_faster(
                partial(self._timed, self._session, image, Plan(0, 1)),
                partial(self._timed, tiled, image, Plan(0, 1)),
            )
            if faster:
                self._session = tiled
                self._owned.push(opened.pop_all())
        chosen = f"tiles within {memory_mib} MiB" if faster else "the largest tiles that fit"
        self._say(
            f"{chosen}: the predictor takes {whole_ms:.1f} ms in the largest, {tiled_ms:.1f} "
            "ms in quarters of the frame"
        )

    def _measure(self, image: Image) -> None:
        assert self._budget is not None
        measure: Callable[[Plan], float] = partial(self._timed, self._session, image)
        self._say(self._budget.measure(image.shape[:2], measure))
        self._measured_s = self._clock()

    def _timed(self, session: SessionLike, image: Image, plan: Plan) -> float:
        """Milliseconds that ``plan`` takes on ``image``."""
        began_s = self._clock()
        self._run(session, image, plan)
        return 1000.0 * (self._clock() - began_s)

    def _run(self, session: SessionLike, image: Image, plan: Plan) -> Image:
        return session.deblur(
            image,
            steps=plan.steps,
            samples=plan.samples,
            seed=self._config.seed,
            preset=self._config.preset,
        )
