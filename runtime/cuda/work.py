"""Work for the stream: the whole loop of one call, or a single network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.cuda.driver import Driver
from runtime.cuda.graphs import Mark
from runtime.cuda.held import Held
from runtime.cuda.kernels import Kernels
from runtime.cuda.memory import Scratch, aligned
from runtime.cuda.networks import Networks
from runtime.cuda.plan import HEAD_BYTES, ROW_BYTES, Layout
from runtime.device_images import DeviceImages
from runtime.errors import EngineError

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]


class LoopWork(Held):
    """Pictures up, prediction, the sampler for every sample, average, pictures down."""

    def __init__(
        self,
        driver: Driver,
        kernels: Kernels,
        networks: Networks,
        scratch: Scratch,
        layout: Layout,
    ) -> None:
        super().__init__(driver, scratch)
        self._kernels = kernels
        self._layout = layout
        self._noise_seed: int | None = None
        self._ticket = 0
        self._source: DeviceImages | None = None
        try:
            self._predictor = self._open(networks, "predictor", layout.predictor_shape)
            if len(layout.rows):
                self._step = self._open(networks, "step", layout.step_shape)
            self.prepare()
            self._at = self._hold(layout.buffers())
            self._input, self._output = (
                self._pin(layout.uploaded_bytes),
                self._pin(layout.downloaded_bytes),
            )
            self._predictor.bind({"y": self._at["y"], "guess": self._at["guess"]})
            if len(layout.rows):
                self._upload_rows()
        except BaseException:
            self.close()
            raise

    def fill(self, images: Images | DeviceImages, seed: int) -> None:
        """Hand in uint8 (pictures, H, W, 3) and the seed of the next run.

        What lies on the device is read in that run, and must stay there until it has ended.
        """
        self._ticket += 1
        head = self._input.bytes[:16].view(np.uint64)
        head[0], head[1] = self._ticket, seed
        if isinstance(images, DeviceImages):
            self._source = images
        else:
            self._input.bytes[HEAD_BYTES:].reshape(images.shape)[:] = images

    def prepare(self) -> None:
        super().prepare()
        self._take_source()
        layout = self._layout
        if not (layout.resident and layout.noisy_steps and self._ticket):
            return
        seed = int(self._input.bytes[8:16].view(np.uint64)[0])
        if seed != self._noise_seed:
            self._noise_seed = None
            self._driver.upload(self._at["input"], self._input.address, HEAD_BYTES)
            for turn in range(layout.turns):
                for step in layout.noisy_steps:
                    self._make_noise(turn, step)
            self._noise_seed = seed

    def enqueue(self, mark: Mark) -> None:
        layout, kernels, at = self._layout, self._kernels, self._at
        steps, pixels = len(layout.rows), layout.pixels
        self._driver.upload(at["input"], self._input.address, layout.uploaded_bytes)
        pictures = at["input"] + HEAD_BYTES
        kernels.to_model(pictures, at["y"], layout.pictures, pixels, layout.at_once, at["output"])
        mark("upload")
        self._predictor.enqueue()
        mark("predictor")
        for turn in range(layout.turns if steps else 0):
            self._sample(turn)
        if "std" in layout.extras:
            kernels.to_spread(
                at["squares"], self._part("std"), layout.pictures, pixels, layout.samples
            )
        mark("steps")
        # Last of all kernels: it passes the ticket on.
        kernels.to_picture(
            at["guess"],
            at["mean"] if steps else 0,
            self._part("pictures"),
            layout.pictures,
            pixels,
            3 * pixels,
            at["input"],
            at["output"],
        )
        self._driver.download(self._output.address, at["output"], layout.downloaded_bytes)
        mark("download")

    def check(self) -> None:
        """Raise EngineError unless the output is that of the last :meth:`fill`, and finite."""
        ticket, not_finite = self._output.bytes[:16].view(np.uint64)
        if ticket != self._ticket:
            raise EngineError(
                f"the GPU answered call {ticket} where call {self._ticket} was asked for; the "
                "stale result was thrown away: call again, or open the engine with graph='off'"
            )
        if not_finite:
            raise EngineError(
                "the networks gave NaN or infinite values; the weights are damaged or the "
                "precision is too narrow: run python -m export.check, or take a float32 bundle"
            )

    def deliver(self, target: DeviceImages) -> None:
        """Write the pictures to ``target`` on the device, and wait until they are there."""
        layout = self._layout
        target.order(self._driver)
        self._kernels.recut(
            self._part("pictures"),
            target.address,
            layout.pictures,
            (layout.height_px, layout.width_px),
            (target.height_px, target.width_px),
            turned=target.bgr,
        )
        self._driver.synchronize()

    def take(self, name: str) -> NDArray[np.uint8]:
        """A copy of one part of the output, flat bytes: "pictures", "std" or "samples"."""
        offset, size = self._layout.output_parts[name]
        return self._output.bytes[offset : offset + size].copy()

    def _take_source(self) -> None:
        """Put pictures that lie on the device into the input, ahead of what a graph does.

        A graph holds addresses, and each of the caller's arrays has its own.
        """
        source, self._source = self._source, None
        if source is None:
            return
        layout = self._layout
        source.order(self._driver)
        self._kernels.recut(
            source.address,
            self._at["input"] + HEAD_BYTES,
            layout.pictures,
            (source.height_px, source.width_px),
            (layout.height_px, layout.width_px),
            turned=source.bgr,
        )

    def _sample(self, turn: int) -> None:
        """One sampler run for ``at_once`` samples, taken into mean and squares."""
        layout, kernels, at = self._layout, self._kernels, self._at
        z, z_next, residual, spare = at["z0"], at["z1"], at["residual0"], at["residual1"]
        previous = at["zero"]
        kernels.scale(self._noise(turn, 0), z, layout.start, layout.batch_floats)
        for index, row in enumerate(layout.rows):
            # A row that adds no noise is given zeros: 0 times anything finite.
            noise = self._noise(turn, index + 1) if row[-1] else at["zero"]
            self._step.bind(
                {
                    "z": z,
                    "y": at["y"],
                    "noise": noise,
                    "previous": previous,
                    "row": at["rows"] + index * ROW_BYTES,
                    "z_next": z_next,
                    "residual": residual,
                }
            )
            self._step.enqueue()
            z, z_next = z_next, z
            previous, residual, spare = residual, spare, residual
        count = 3 * layout.pixels * layout.pictures
        first = turn * layout.at_once
        kernels.accumulate(z, at["mean"], at["squares"], first, layout.at_once, count)
        if "samples" in layout.extras:
            self._sample_pictures(z, first)

    def _sample_pictures(self, z: int, first: int) -> None:
        layout, at = self._layout, self._at
        one = 3 * layout.pixels
        for sample in range(layout.at_once):
            self._kernels.to_picture(
                at["guess"],
                z + sample * 4 * one * layout.pictures,
                self._part("samples") + (first + sample) * one,
                layout.pictures,
                layout.pixels,
                layout.samples * one,
                0,
                at["output"],
            )

    def _noise(self, turn: int, step: int) -> int:
        """The address of the noise of ``step``, made now where it is not kept."""
        if self._layout.resident:
            return self._noise_at(turn, step)
        self._make_noise(turn, step)
        return self._at["noise"]

    def _noise_at(self, turn: int, step: int) -> int:
        layout = self._layout
        if not layout.resident:
            return self._at["noise"]
        steps = layout.noisy_steps
        return self._at["noise"] + 4 * layout.batch_floats * (turn * len(steps) + steps.index(step))

    def _make_noise(self, turn: int, step: int) -> None:
        layout = self._layout
        self._kernels.normals(
            self._noise_at(turn, step),
            self._at["input"],
            turn * layout.at_once,
            step,
            layout.at_once,
            layout.pictures,
            layout.height_px,
            layout.width_px,
        )

    def _part(self, name: str) -> int:
        return self._at["output"] + self._layout.output_parts[name][0]

    def _upload_rows(self) -> None:
        rows = self._layout.rows
        padded = np.zeros((len(rows), ROW_BYTES // 4), np.float32)
        padded[:, : rows.shape[1]] = rows
        pinned = self._pin(padded.nbytes)
        pinned.bytes[:] = padded.reshape(-1).view(np.uint8)
        self._driver.upload(self._at["rows"], pinned.address, padded.nbytes)
        self._driver.clear(self._at["zero"], 4 * self._layout.batch_floats)


class NetworkWork(Held):
    """One network on arrays of the host: what tiles need."""

    def __init__(
        self,
        driver: Driver,
        networks: Networks,
        scratch: Scratch,
        graph: str,
        inputs: Mapping[str, tuple[int, ...]],
        outputs: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__(driver, scratch)
        self._shapes = {**inputs, **outputs}
        self._inputs = list(inputs)
        self._outputs = list(outputs)
        try:
            self._runner = self._open(networks, graph, next(iter(inputs.values())))
            self.prepare()
            sizes = {name: 4 * int(np.prod(shape)) for name, shape in self._shapes.items()}
            self._at = self._hold(sizes)
            self._host = {name: self._pin(aligned(size)) for name, size in sizes.items()}
            self._sizes = sizes
            self._runner.bind({name: self._at[name] for name in sizes})
        except BaseException:
            self.close()
            raise

    def fill(self, values: Mapping[str, Floats]) -> None:
        """Hand in the inputs of the next run, float32."""
        for name in self._inputs:
            self._view(name)[:] = values[name]

    def enqueue(self, mark: Mark) -> None:
        for name in self._inputs:
            self._driver.upload(self._at[name], self._host[name].address, self._sizes[name])
        mark("upload")
        self._runner.enqueue()
        mark("network")
        for name in self._outputs:
            self._driver.download(self._host[name].address, self._at[name], self._sizes[name])
        mark("download")

    def take(self, name: str) -> Floats:
        """A copy of one output."""
        return self._view(name).copy()

    def _view(self, name: str) -> Floats:
        shape = self._shapes[name]
        data = self._host[name].bytes[: self._sizes[name]]
        return data.view(np.float32).reshape(shape)
