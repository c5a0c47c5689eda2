"""What an export is asked for, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export.presets import GUESS_LEVEL
from runtime.errors import OptionError

# What people type, and what the manifest states.
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
LARGEST_FUSED_STEPS = 50
LEAST_GUESS_LEVEL, MOST_GUESS_LEVEL = -4.0, 12.0
OPSETS = range(18, 23)
# The first one in which a convolution may be bfloat16.
BFLOAT16_OPSET = 22


@dataclass(frozen=True)
class ExportConfig:
    """One export.

    ``precision`` is what the U-Nets compute in, as in the manifest; ``opset`` None is the lowest
    one that has it. ``fused_steps`` asks for the whole pipeline in one graph too, ``programs`` for
    both networks, in float32, as programs of torch.export for the runtime's engine ``torch``.
    ``guess_level`` is the log-SNR at which presets that start from the predictor's guess begin:
    high for a denoiser that has learned little, whose samples then stay close to the guess. For
    int8: ``calibration`` is a folder of real pictures, of which ``pictures`` are run through the
    whole sampler until ``calibration_seconds`` are over, and ``least_db`` the PSNR that whole
    samplers must keep against float32.

    Raises OptionError for a combination that cannot be.
    """

    precision: str = "float32"
    opset: int | None = None
    fused_steps: int | None = None
    calibration: Path | None = None
    pictures: int = 8
    calibration_seconds: float = 120.0
    least_db: float = 38.0
    programs: bool = False
    guess_level: float = GUESS_LEVEL

    @property
    def lowest_opset(self) -> int:
        """The lowest ONNX operator set that can express the precision."""
        return BFLOAT16_OPSET if self.precision == "bfloat16" else OPSETS.start

    @property
    def chosen_opset(self) -> int:
        """The ONNX operator set that graphs are written in."""
        return self.lowest_opset if self.opset is None else self.opset

    def __post_init__(self) -> None:
        if self.chosen_opset < self.lowest_opset:
            raise OptionError(
                f"got --opset {self.opset} with {self.precision}; ONNX has convolutions of that "
                f"from opset {self.lowest_opset} on: leave --opset out"
            )
        if (self.precision == "int8") != (self.calibration is not None):
            raise OptionError(
                f"got precision {self.precision} and "
                f"{'a' if self.calibration else 'no'} folder of calibration pictures; "
                "--precision int8 and --calibration FOLDER go together"
            )
        if self.fused_steps is not None and not 1 <= self.fused_steps <= LARGEST_FUSED_STEPS:
            raise OptionError(
                f"got --fused {self.fused_steps}; wanted are 1 to {LARGEST_FUSED_STEPS} steps"
            )
        if not LEAST_GUESS_LEVEL <= self.guess_level <= MOST_GUESS_LEVEL:
            raise OptionError(
                f"got --guess-level {self.guess_level:g}; wanted is a log-SNR from "
                f"{LEAST_GUESS_LEVEL:g} to {MOST_GUESS_LEVEL:g}"
            )
        if self.pictures < 1:
            raise OptionError(f"got {self.pictures} calibration pictures; wanted is at least 1")
