"""What command lines have in common: how to train, on which machine, and what to measure on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from runtime.errors import DataError
from runtime.samplers import Prediction
from train.config import BLURS, PRESETS, Execution, Levels, TrainConfig
from train.data.layouts import Pictures, find_pictures, take_evenly
from train.recipes import RECIPES_BY_NAME, spread

T = TypeVar("T")


def add_recipe_options(parser: argparse.ArgumentParser, default: str) -> None:
    """What is learned: ``--recipe``, and an option for each value that may replace its own."""
    names = "; ".join(f"{name}: {recipe.summary}" for name, recipe in RECIPES_BY_NAME.items())
    parser.add_argument("--recipe", choices=RECIPES_BY_NAME, default=default, help=names)
    parser.add_argument("--preset", choices=PRESETS, help="widths of the networks")
    parser.add_argument(
        "--prediction", choices=get_args(Prediction), help="what the denoiser learns"
    )
    parser.add_argument(
        "--levels",
        choices=get_args(Levels),
        help="noise levels that the denoiser learns from: the paper's, or most of them about the "
        "residual's size",
    )
    parser.add_argument("--predictor", choices=("unet", "xydeblur", "unet-xy"))
    parser.add_argument(
        "--scales", type=int, metavar="N", help="at how many sizes the predictor sees a picture"
    )
    parser.add_argument(
        "--blocks", type=int, metavar="N", help="residual blocks on each level of the encoders"
    )
    parser.add_argument(
        "--denoiser-from-predictor",
        action="store_true",
        help="the denoiser begins as a copy of the predictor of --init; they must be alike",
    )
    parser.add_argument("--blur", choices=BLURS, help="synthetic blur to make")
    parser.add_argument("--longest-blur", type=float, metavar="PX")
    parser.add_argument(
        "--zoom", type=float, metavar="FRACTION", help="share of the crops enlarged up to twice"
    )
    parser.add_argument(
        "--places", type=int, metavar="N", help="drawn for each crop; that with most detail counts"
    )
    parser.add_argument("--steps", "--max-steps", type=int, help="of all stages together")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--crop", type=int, metavar="PX")
    parser.add_argument(
        "--learning-rate", type=float, help="of the first stage; later ones keep their ratio to it"
    )
    parser.add_argument("--warmup", type=int, metavar="STEPS")
    parser.add_argument("--ema-decay", type=float, metavar="DECAY")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")


def add_machine_options(parser: argparse.ArgumentParser, *, workers: int) -> None:
    """What the run may use of the machine."""
    parser.add_argument(
        "--accumulate", type=int, metavar="PARTS", help="parts of a step's batch on each device"
    )
    parser.add_argument("--accelerator", default=Execution().accelerator, help="cpu, cuda or auto")
    parser.add_argument("--workers", type=int, default=workers, help="processes that make crops")
    parser.add_argument("--compile", action="store_true", help="run through torch.compile")


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """Which pairs to measure on, by what, and beside whom."""
    parser.add_argument("data", type=Path, help="pairs, as python -m train takes them")
    parser.add_argument("--pictures", type=int, metavar="N", help="every k-th pair, N in all")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--blur-kind", metavar="NAME", help="kind of blur, such as blur_gamma")
    parser.add_argument("--engine", default="auto", help="engine of a bundle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--niqe-parameters",
        type=Path,
        metavar="FILE",
        help=".npz or .mat with NIQE's natural model (python -m train.naturalness makes one)",
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="CSV",
        help="rows of other methods, with the column 'method', to show below those of the paper's "
        "Table 1 (GoPro); its Table 2 (HIDE) is not built in: give it here",
    )


def find_pairs(arguments: argparse.Namespace) -> Pictures:
    """The pictures that add_measuring_options() asks for; raises DataError and OptionError."""
    found = find_pictures(arguments.data, split=arguments.split, blur=arguments.blur_kind)
    return take_evenly(found, arguments.pictures)


def to_stages(arguments: argparse.Namespace, *, gpu: bool = False) -> tuple[TrainConfig, ...]:
    """The recipe's stages with the options that were given in place of their own values.

    On a ``gpu`` they take the recipe's larger batch. Raises OptionError.
    """
    recipe = RECIPES_BY_NAME[arguments.recipe]
    batch = arguments.batch or (recipe.gpu_batch if gpu else None)
    first = recipe.stages[0]
    stages = spread(recipe.stages, minutes=arguments.minutes, steps=arguments.steps)
    return tuple(_override(stage, first, arguments, batch) for stage in stages)


def to_parts(arguments: argparse.Namespace, batch: int, devices: int = 1, *, gpu: bool) -> int:
    """Into how many parts one device's share of a batch is cut: as asked, or as the recipe says."""
    if arguments.accumulate is not None:
        return int(arguments.accumulate)
    return RECIPES_BY_NAME[arguments.recipe].parts(batch, max(1, devices), gpu=gpu)


def read_names(path: Path) -> list[str]:
    """The names in a text file, separated by white space; raises DataError."""
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} as a list of names: {error}") from error


def _override(
    stage: TrainConfig, first: TrainConfig, arguments: argparse.Namespace, batch: int | None
) -> TrainConfig:
    model = stage.model
    if arguments.preset:
        model = replace(PRESETS[arguments.preset], prediction=model.prediction)
    rate, seed = arguments.learning_rate, arguments.seed
    blur = BLURS[arguments.blur] if arguments.blur else stage.data.blur
    blur = _with(blur, longest_px=arguments.longest_blur)
    model = _with(
        model,
        prediction=arguments.prediction,
        predictor=arguments.predictor,
        predictor_scales=arguments.scales,
        blocks=arguments.blocks,
    )
    return _with(
        stage,
        model=model,
        data=_with(
            stage.data,
            crop_px=arguments.crop,
            blur=blur,
            zoom_fraction=arguments.zoom,
            places=arguments.places,
        ),
        loss=_with(stage.loss, levels=arguments.levels),
        batch=batch,
        learning_rate=None if rate is None else rate * stage.learning_rate / first.learning_rate,
        warmup_steps=arguments.warmup,
        ema_decay=arguments.ema_decay,
        seed=None if seed is None else seed + stage.seed - first.seed,
        bfloat16=False if arguments.float32 else None,
        denoiser_from_predictor=arguments.denoiser_from_predictor or None,
    )


def _with(value: T, **given: Any) -> T:
    """The dataclass ``value`` with those fields replaced for which not None is given."""
    changes = {name: new for name, new in given.items() if new is not None}
    return replace(value, **changes)  # type: ignore[type-var]
