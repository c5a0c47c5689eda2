"""``Session``: a picture in, a sharper picture out, and the bundle stays open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from runtime.answer import answer_with
from runtime.bundle import MAX_STRENGTH, Bundle, Preset, open_bundle
from runtime.device_images import DeviceImages
from runtime.engines import ENGINES, GraphMode, Request, choose_engine, open_engine
from runtime.errors import OptionError
from runtime.intake import as_images, check_out, for_networks
from runtime.loop import Stopwatch, merge_stages
from runtime.noise import check_seed
from runtime.placement import Placement
from runtime.samplers import Table, compile_table, with_steps

if TYPE_CHECKING:
    from typing_extensions import Unpack

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

MAX_SAMPLES = 1024


class Sampling(TypedDict, total=False):
    """The keywords of ``deblur`` that do not change what it returns; see :meth:`Session.deblur`."""

    steps: int | None
    samples: int | None
    self_ensemble: bool | None
    strength: float | None
    seed: int
    preset: str | None
    bgr: bool
    out: object


class Session:
    """An opened bundle on an engine, for many pictures.

    ``bundle`` is a directory, the name of a shipped bundle, or None for the default; ``engine`` is
    a name of ``runtime.engines.ENGINES`` or "auto". ``memory_mib`` bounds what one call may take
    beyond what the process holds already (None: most of what the machine has free); a picture that
    needs more is cut into tiles that are blended at every step. ``graph`` is "auto", "on" or "off":
    whether engines on a GPU record CUDA graphs. Raises BundleError, EngineError and OptionError.
    ``deblur`` may be called from several threads.
    """

    def __init__(
        self,
        bundle: str | Path | None = None,
        *,
        engine: str = "auto",
        memory_mib: int | None = None,
        graph: GraphMode = "auto",
    ) -> None:
        if memory_mib is not None and memory_mib < 1:
            raise OptionError(f"got memory_mib {memory_mib}; wanted is at least 1, or None")
        self._bundle = open_bundle(bundle)
        name, self._reason = choose_engine(engine, self._bundle)
        opened = open_engine(name, self._bundle, graph=graph, memory_mib=memory_mib)
        self._placement = Placement(
            opened, self._bundle.manifest, memory_mib, on_gpu=ENGINES[name].on_gpu
        )
        self._name = opened.name
        self._timings: dict[str, float] = {}

    @property
    def bundle(self) -> Bundle:
        """The opened bundle: manifest and presets."""
        return self._bundle

    @property
    def engine(self) -> str:
        """What runs the graphs: name, library, version, device."""
        return self._name

    @property
    def engine_reason(self) -> str:
        """Why this engine: it was named, or what "auto" found, in one line."""
        return self._reason

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds of the call that ended last, by stage.

        "upload" and "download" are the conversions from and to uint8, with the copies to and from
        a GPU; "predictor"; "step 1", "step 2", ... of all samples; "steps" their sum; "noise" what
        the loop waited for noise; "total". Total less predictor and steps is the loop's overhead.
        An engine that runs the whole loop itself may not tell the single steps.
        """
        return dict(self._timings)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the engine and its memory, once calls under way have ended.

        Calls after this raise EngineError.
        """
        self._placement.close()

    def prewarm(self, shapes: Iterable[tuple[int, ...]], **sampling: Unpack[Sampling]) -> None:
        """Have all ready for pictures (H, W) and batches (N, H, W) before the first one comes.

        Engines compile, choose kernels and record graphs for the ``sampling`` of
        :meth:`deblur`, and the noise of its seed is drawn. Raises what :meth:`deblur` raises.
        """
        for shape in shapes:
            blank = np.zeros((*shape, 3), np.uint8)
            # Once to warm up, and once more to be recorded.
            for _ in range(2):
                self.deblur(blank, **sampling)

    @overload
    def deblur(
        self,
        image: object,
        *,
        return_std: Literal[False] = False,
        return_samples: Literal[False] = False,
        **sampling: Unpack[Sampling],
    ) -> Image: ...

    @overload
    def deblur(
        self,
        image: object,
        *,
        return_std: Literal[True],
        return_samples: Literal[False] = False,
        **sampling: Unpack[Sampling],
    ) -> tuple[Image, Floats]: ...

    @overload
    def deblur(
        self,
        image: object,
        *,
        return_std: Literal[False] = False,
        return_samples: Literal[True],
        **sampling: Unpack[Sampling],
    ) -> tuple[Image, Image]: ...

    @overload
    def deblur(
        self,
        image: object,
        *,
        return_std: Literal[True],
        return_samples: Literal[True],
        **sampling: Unpack[Sampling],
    ) -> tuple[Image, Floats, Image]: ...

    def deblur(
        self,
        image: object,
        *,
        steps: int | None = None,
        samples: int | None = None,
        self_ensemble: bool | None = None,
        strength: float | None = None,
        seed: int = 0,
        preset: str | None = None,
        return_std: bool = False,
        return_samples: bool = False,
        bgr: bool = False,
        out: object = None,
    ) -> Any:
        """Deblur uint8 RGB (H, W, 3) of any size, or a batch (N, H, W, 3); returns the same shape.

        ``image`` is a numpy array or speaks DLPack on the CPU; the engines tensorrt and
        tensorrt-rtx also take contiguous arrays on their GPU, by DLPack or
        ``__cuda_array_interface__``, and such an ``out``. ``preset`` names a way to sample of
        the bundle (None: its default); ``steps`` (0 to 500; 0 is the predictor's picture alone) and
        ``samples`` (averaged) override it. With ``self_ensemble`` (None: the preset's) each of
        several samples is drawn on the picture turned another way, which brings their mean closer
        to the sharp picture (:mod:`runtime.turns`). What is changed in the picture is multiplied
        by ``strength``, above 0 and at most 2 (None: the preset's; :mod:`runtime.answer`). The same
        ``seed`` gives the same picture, in a batch or alone. With ``bgr`` colours come and go in
        OpenCV's order. The picture is written into ``out`` where that is given, and ``out``
        returned.

        With ``return_std`` also returns the standard deviation of the samples, float32 of the
        picture's shape, in grey levels; with ``return_samples`` also the samples, uint8
        (S, H, W, 3) or (N, S, H, W, 3): the order is picture, deviation, samples. With no steps
        and no self-ensemble there is one sample, and it is the picture.

        Raises ImageError, OptionError and EngineError; after any of them the session goes on.
        """
        watch = Stopwatch()
        with watch.clock("total"), self._placement.call() as buffers:
            gpu = self._placement.cuda_device
            images, single = as_images(image, gpu)
            shape = images.shape[1:] if single else images.shape
            target = None if out is None else check_out(out, shape, gpu)
            chosen = self._bundle.preset(preset)
            table = self._table(chosen, steps)
            count = _check_samples(chosen.samples if samples is None else samples)
            turns = choose_self_ensemble(chosen, self_ensemble)
            multiple = self._bundle.manifest.size_multiple_px
            request = Request(
                images=for_networks(images, multiple, buffers, bgr=bgr),
                table=table,
                samples=count if table.steps > 0 or turns else 1,
                seed=check_seed(seed),
                want_std=return_std,
                want_samples=return_samples,
                target=replace(target, bgr=bgr) if isinstance(target, DeviceImages) else None,
            )
            height, width = images.shape[1:3]
            result = answer_with(
                request,
                partial(self._placement.answer, buffers=buffers),
                turned=turns,
                strength=choose_strength(chosen, strength),
            )
            picture, *others = (
                None if part is None else _presented(part, height, width, bgr=bgr, single=single)
                for part in (result.images, result.std, result.samples)
            )
            if isinstance(target, np.ndarray):
                target[:] = picture
            picture = np.ascontiguousarray(picture) if target is None else out
            others = [np.ascontiguousarray(other) for other in others if other is not None]
        self._timings = {"noise": 0.0, **merge_stages([result.stages_ms, watch.stages_ms])}
        return (picture, *others) if others else picture

    def _table(self, preset: Preset, steps: int | None) -> Table:
        if steps is None or steps == preset.sampler.steps:
            return preset.table
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer):
            raise OptionError(f"got steps {steps!r}; wanted is an integer from 0 to 500")
        sampler = with_steps(preset.sampler, int(steps))
        return compile_table(sampler, self._bundle.manifest.prediction)


def choose_self_ensemble(preset: Preset, asked: bool | None) -> bool:
    """Whether samples are drawn on the turned picture; raises OptionError for what says neither."""
    if asked is not None and not isinstance(asked, bool | np.bool_):
        raise OptionError(f"got self_ensemble {asked!r}; wanted is True, False or None")
    return preset.self_ensemble if asked is None else bool(asked)


def choose_strength(preset: Preset, asked: float | None) -> float:
    """By how much what is changed is multiplied; raises OptionError for what is out of range."""
    if asked is None:
        return preset.strength
    number = isinstance(asked, int | float | np.integer | np.floating)
    if isinstance(asked, bool) or not number or not 0.0 < asked <= MAX_STRENGTH:
        raise OptionError(
            f"got strength {asked!r}; wanted is a number above 0 and at most {MAX_STRENGTH:g}"
        )
    return float(asked)


def _presented(array: Any, height: int, width: int, *, bgr: bool, single: bool) -> Any:
    """``array`` (..., H, W, 3) without the padding, as the caller gave the picture; a view."""
    array = array[..., :height, :width, :]
    array = array[..., ::-1] if bgr else array
    return array[0] if single else array


def _check_samples(samples: int) -> int:
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer):
        raise OptionError(f"got samples {samples!r}; wanted is an integer from 1 to {MAX_SAMPLES}")
    if not 1 <= samples <= MAX_SAMPLES:
        raise OptionError(f"got {samples} samples; wanted are 1 to {MAX_SAMPLES}")
    return int(samples)
