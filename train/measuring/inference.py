"""A checkpoint at work: its networks in torch, behind the runtime's engine and call.

What a bundle does through ``runtime.Session``, before there is a bundle.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from runtime.answer import answer_with
from runtime.buffers import Buffers
from runtime.bundle import Preset, open_bundle, sha256
from runtime.engines import Request, Result
from runtime.errors import OptionError
from runtime.images import check_image, from_model, to_model
from runtime.intake import padded
from runtime.noise import check_seed
from runtime.samplers import compile_table, with_steps
from train.checkpoint import load_model
from train.measuring.sampling import draw_residuals
from train.network import Model

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class TorchEngine:
    """The networks of ``model`` behind the engine protocol, in float32 on the model's device."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._device = next(model.parameters()).device

    @property
    def name(self) -> str:
        return f"torch {torch.__version__}, {self._device.type}"

    @torch.inference_mode()
    def predict(self, y: Floats) -> Floats:
        guess: Floats = self._model.predict(self._tensor(y)).float().cpu().numpy()
        return guess

    @torch.inference_mode()
    def step(
        self, z: Floats, y: Floats, noise: Floats, previous: Floats, row: Floats
    ) -> tuple[Floats, Floats]:
        level = torch.tensor(row[:1], device=self._device)
        output = self._model.denoise(self._tensor(y), self._tensor(z), level).float().cpu().numpy()
        residual = row[1] * z + row[2] * output
        return row[3] * z + row[4] * residual + row[5] * previous + row[6] * noise, residual

    def _tensor(self, x: Floats) -> torch.Tensor:
        return torch.from_numpy(x).to(self._device)


class CheckpointSession:
    """What ``runtime.Session`` is to a bundle, for the checkpoint ``path``.

    The presets are those of the shipped default bundle, compiled for this network. Pictures are not
    tiled. Raises CheckpointError.
    """

    def __init__(self, path: Path) -> None:
        model, self.card = load_model(path)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shipped = open_bundle()
        self.sha256 = sha256(path.read_bytes())
        self.default_preset = shipped.manifest.default_preset
        self._presets = shipped.presets
        self._prediction = self.card.config.model.prediction
        self._multiple_px = model.size_multiple_px
        self._engine = TorchEngine(model)

    @property
    def engine(self) -> str:
        """What runs the networks: library, version, device."""
        return self._engine.name

    def deblur(
        self,
        image: Image,
        *,
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        preset: str | None = None,
    ) -> tuple[Image, Floats]:
        """As ``runtime.Session.deblur`` with ``return_std``: picture and standard deviation.

        Raises ImageError and OptionError.
        """
        image, seed = check_image(image), check_seed(seed)
        chosen = self.preset(preset)
        table = compile_table(
            chosen.sampler if steps is None else with_steps(chosen.sampler, steps),
            self._prediction,
        )
        wanted = chosen.samples if samples is None else samples
        if wanted < 1:
            raise OptionError(f"got {wanted} samples; wanted is at least 1")
        height, width = image.shape[:2]
        whole = padded(image[None], self._multiple_px, Buffers())
        result = answer_with(
            Request(whole, table, wanted, seed, want_std=True),
            self._answer,
            turned=chosen.self_ensemble,
            strength=chosen.strength,
        )
        assert result.images is not None, "it has no target to go to"
        assert result.std is not None, "it was asked for"
        return result.images[0, :height, :width], result.std[0, :height, :width]

    def _answer(self, request: Request) -> Result:
        assert isinstance(request.images, np.ndarray)
        y = to_model(request.images[0])
        guess = self._engine.predict(y)
        draws = draw_residuals(self._engine, y, request.table, request.seed)
        # Without steps all samples are the same: nothing is added to the guess.
        count = request.samples if request.table.steps else 1
        residuals = np.stack([next(draws) for _ in range(count)])
        picture = from_model(guess + residuals.mean(axis=0))
        # Half the model's range is 127.5 grey levels.
        spread = np.float32(127.5) * residuals.std(axis=0)[0].transpose(1, 2, 0)
        return Result(picture[None], spread[None], None, {})

    def preset(self, name: str | None) -> Preset:
        """The preset of that name, or the default one; raises OptionError."""
        name = self.default_preset if name is None else name
        if name not in self._presets:
            raise OptionError(
                f"got preset '{name}'; a checkpoint is sampled with one of "
                f"{', '.join(sorted(self._presets))}"
            )
        return self._presets[name]

    def describe(self) -> dict[str, object]:
        """The checkpoint's configuration and step, for a result file."""
        return {"config": msgspec.to_builtins(self.card.config), "step": self.card.step}
