"""What a student of few steps learns: to land in one DDIM step where its teacher lands in two.

Progressive distillation, Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion
Models", 2022, algorithm 2, on the rows of the runtime's sampler tables: so what is taught is what
will be run.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from runtime.errors import OptionError
from runtime.samplers import SamplerConfig, Table, compile_table
from runtime.schedules import TRAINING_BETA_END, TRAINING_STEPS, linear_beta, log_snr
from train.config import DistillConfig
from train.network import Model
from train.objective import amplitudes, target


def few_steps(config: DistillConfig, steps: int | None = None) -> SamplerConfig:
    """DDIM with ``steps`` (None: the student's) on the levels of ``config``."""
    steps = config.steps if steps is None else steps
    last = config.noisiest + (config.cleanest - config.noisiest) * (steps - 1) / steps
    return SamplerConfig(
        "ddim", "log-snr", steps, cleanest=last, noisiest=config.noisiest, start=config.start
    )


def advance(model: Model, y: Tensor, z: Tensor, rows: Tensor) -> Tensor:
    """The state behind one step of each of the samples, which have a row (N, 7) each.

    ``y`` and ``z`` are (N, 3, H, W). Rows are those of DDIM, without fresh noise.
    """
    from_z, from_output, keep, take = _coefficients(rows)
    output = model.denoise(y, z, rows[:, 0]).float()
    return keep * z + take * (from_z * z + from_output * output)


def lesson(z: Tensor, after: Tensor, rows: Tensor) -> Tensor:
    """What the network must return at ``z`` for the step of ``rows`` (N, 7) to end at ``after``."""
    from_z, from_output, keep, take = _coefficients(rows)
    residual = (after - keep * z) / take
    return (residual - from_z * z) / from_output


def _coefficients(rows: Tensor) -> tuple[Tensor, ...]:
    """from_z, from_output, keep and take of rows (N, 7), each (N, 1, 1, 1)."""
    return tuple(rows[:, column, None, None, None] for column in range(1, 5))


class Distillation(nn.Module):
    """The loss of the student ``model``, in the place of :class:`train.loop.Objective`.

    ``teacher`` takes twice the steps and is not trained, nor is the predictor. The loss is the mean
    squared error of what f returns, as in training. Raises OptionError for a model that predicts
    noise from levels at which that says next to nothing.
    """

    student_rows: Tensor
    teacher_rows: Tensor
    bins: Tensor

    def __init__(self, model: Model, teacher: Model, config: DistillConfig) -> None:
        super().__init__()
        if model.config.prediction == "eps" and config.noisiest < 0:
            raise OptionError(
                f"got a model that predicts noise, and a start at level {config.noisiest:g}, where "
                "noise says little of the residual; train it on first: python -m train "
                "--recipe denoiser --prediction v --init CHECKPOINT"
            )
        self.model = model
        self.teacher = teacher.requires_grad_(False)
        self.config = config
        student = compile_table(few_steps(config), model.config.prediction)
        twice = compile_table(few_steps(config, 2 * config.steps), teacher.config.prediction)
        self._start = student.start
        self.register_buffer("student_rows", _rows(student))
        self.register_buffer("teacher_rows", _rows(twice).reshape(config.steps, 2, -1))
        ends = -log_snr(linear_beta(TRAINING_STEPS, TRAINING_BETA_END))
        self.register_buffer("bins", torch.from_numpy(ends.astype(np.float32)))

    def forward(self, y: Tensor, x: Tensor, level: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The loss of one batch, whose arguments are those of :func:`compute_losses`."""
        kept = round(self.config.keep * len(y))
        with torch.no_grad():
            residual = x - self.model.predict(y).float()
            parts = [
                self._go_on(residual[:kept], level[:kept], noise[:kept]),
                self._teach(y[kept:], residual[kept:], level[kept:], noise[kept:]),
            ]
            z, levels, wanted = (torch.cat(both) for both in zip(*parts, strict=True))
        loss = functional.mse_loss(self.model.denoise(y, z, levels).float(), wanted)
        return {"loss": loss, "denoise": loss}

    def _go_on(
        self, residual: Tensor, level: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """State, level and wanted output of ordinary training."""
        signal, spread = amplitudes(level)
        z = signal * residual + spread * noise
        return z, level, target(self.model.config.prediction, residual, noise, level)

    def _teach(
        self, y: Tensor, residual: Tensor, level: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """State, level and wanted output at steps of the student's."""
        which = self._turns(level)
        rows = self.student_rows[which]
        signal, spread = amplitudes(rows[:, 0])
        # A sampler begins with noise in which there is no residual yet.
        first = (which == 0)[:, None, None, None]
        z = torch.where(first, self._start * noise, signal * residual + spread * noise)
        once, twice = self.teacher_rows[which].unbind(1)
        after = advance(self.teacher, y, advance(self.teacher, y, z, once), twice)
        return z, rows[:, 0], lesson(z, after, rows)

    def _turns(self, level: Tensor) -> Tensor:
        """Which step each sample is about, evenly drawn: the loop draws one of 2000 bins evenly."""
        bins = torch.searchsorted(self.bins, -level).clamp_max(TRAINING_STEPS - 1)
        return bins * self.config.steps // TRAINING_STEPS


def _rows(table: Table) -> Tensor:
    return torch.from_numpy(table.rows.astype(np.float32))
