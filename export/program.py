"""The two graphs as programs of torch.export, which the runtime's engine ``torch`` runs."""

from __future__ import annotations

import io

import torch
from torch import nn

from export.graphs import PredictorGraph, StepGraph, free_picture
from runtime.bundle import Programs
from runtime.samplers import COLUMNS
from train.network import Model

PROGRAMS = Programs(predictor="predictor.pt2", step="denoiser_step.pt2")


def export_programs(model: Model) -> dict[str, bytes]:
    """File contents by the names in PROGRAMS; batch, height and width stay free."""
    return {
        PROGRAMS.predictor: _program(PredictorGraph(model), model.size_multiple_px, 1),
        PROGRAMS.step: _program(StepGraph(model), model.size_multiple_px, 4),
    }


def _program(module: nn.Module, multiple_px: int, pictures: int) -> bytes:
    """``pictures`` inputs (N, 3, H, W), and the row of a table where there are several."""
    example, free = free_picture(multiple_px)
    examples: list[torch.Tensor] = [torch.clone(example) for _ in range(pictures)]
    shapes: list[dict[int, object] | None] = [dict(free) for _ in range(pictures)]
    if pictures > 1:
        examples.append(torch.zeros(len(COLUMNS)))
        shapes.append(None)
    program = torch.export.export(
        module.eval(), tuple(examples), dynamic_shapes=tuple(shapes), strict=False
    )
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()
