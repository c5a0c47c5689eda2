"""Samples drawn on a picture that is turned for each of them: a self-ensemble.

A network is never quite indifferent to how a picture lies before it. What it finds on flipped and
turned copies, turned back and averaged, is closer to the truth than any one of them (Lim et al.,
"Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017, section 3.4). Where
samples are averaged anyway it costs no more than the predictor on each copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.engines import Request, Result
from runtime.loop import merge_stages

TURNS = 8


def turned(pictures: NDArray[Any], turn: int) -> NDArray[Any]:
    """``pictures`` (..., H, W, 3) as ``turn``, 0 to 7, lets them lie; a view.

    The first two, and the first four, are those that differ most: as it is, transposed, upside
    down, both; then the same again mirrored.
    """
    pictures = _mirrored(pictures, turn)
    return pictures.swapaxes(-3, -2) if turn % 2 else pictures


def turned_back(pictures: NDArray[Any], turn: int) -> NDArray[Any]:
    """What :func:`turned` did to ``pictures``, undone; a view."""
    pictures = pictures.swapaxes(-3, -2) if turn % 2 else pictures
    return _mirrored(pictures, turn)


def _mirrored(pictures: NDArray[Any], turn: int) -> NDArray[Any]:
    pair = turn // 2
    rows = slice(None, None, -1 if pair in (1, 3) else 1)
    columns = slice(None, None, -1 if pair in (1, 2) else 1)
    return pictures[..., rows, columns, :]


def answer_turned(request: Request, answer: Callable[[Request], Result]) -> Result:
    """The answer to ``request`` with its samples shared out among the turns, each by ``answer``.

    Sample i is drawn on the pictures in turn i modulo 8; with a table of no rows each turn is the
    predictor's picture. The deviation is that of all samples, turns included. Pictures lie on the
    host.
    """
    images = request.images
    assert isinstance(images, np.ndarray), "what lies on a GPU is not turned"
    sums = _Sums(request, images)
    for turn in range(min(TURNS, request.samples)):
        part = replace(
            request,
            images=np.ascontiguousarray(turned(images, turn)),
            samples=len(range(turn, request.samples, TURNS)),
            held_bytes=request.held_bytes + images.nbytes + sums.nbytes,
        )
        sums.add(answer(part), turn)
    return sums.result()


class _Sums:
    """What the turns gave so far; between two of them nothing else is kept."""

    def __init__(self, request: Request, images: NDArray[np.uint8]) -> None:
        self._request = request
        # Whole numbers, of which float32 holds the sum of any number of samples exactly.
        self._total = np.zeros(images.shape, np.float32)
        self._squares = np.zeros(images.shape) if request.want_std else None
        self._drawn = [np.empty(0, np.uint8)] * request.samples if request.want_samples else None
        self._stages: list[dict[str, float]] = []

    @property
    def nbytes(self) -> int:
        """What they take of the memory, without the samples that were asked for."""
        return self._total.nbytes + (0 if self._squares is None else self._squares.nbytes)

    def add(self, result: Result, turn: int) -> None:
        """Take in what ``turn`` gave."""
        which = range(turn, self._request.samples, TURNS)
        assert result.images is not None, "it has no target to go to"
        picture = turned_back(result.images, turn)
        self._total += np.float32(len(which)) * picture
        if self._squares is not None:
            assert result.std is not None, "it was asked for"
            spread = turned_back(result.std, turn).astype(np.float64)
            self._squares += len(which) * (spread**2 + picture.astype(np.float64) ** 2)
        if self._drawn is not None:
            assert result.samples is not None, "they were asked for"
            back = turned_back(result.samples, turn)
            for index, sample in enumerate(which):
                # Without steps there is one sample for all of them.
                self._drawn[sample] = back[:, min(index, back.shape[1] - 1)]
        self._stages.append(result.stages_ms)

    def result(self) -> Result:
        """Mean, deviation and samples of all turns."""
        count = self._request.samples
        mean = self._total.astype(np.float64) / count
        deviation = None
        if self._squares is not None:
            deviation = np.sqrt(np.maximum(self._squares / count - mean**2, 0.0))
        return Result(
            np.rint(mean).astype(np.uint8),
            None if deviation is None else deviation.astype(np.float32),
            None if self._drawn is None else np.stack(self._drawn, axis=1),
            merge_stages(self._stages),
        )
