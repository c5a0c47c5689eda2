"""``python -m train``: train a model from a folder of pictures."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from runtime.command import run_command
from runtime.errors import DataError, OptionError
from runtime.files import to_json, write_whole
from train.config import BLURS, PRESETS, Execution, TrainConfig
from train.extras import require_training
from train.layouts import Pictures, check_sizes, find_pictures
from train.recipes import RECIPES_BY_NAME, Recipe

DEFAULT_RECIPE = "joint+pixel"
CONFIG = "config.json"

T = TypeVar("T")


def build_parser() -> argparse.ArgumentParser:
    """All options; what is left out is decided by the recipe, or by the dataclasses' defaults."""
    execution = Execution()
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description=__doc__,
        epilog="A recipe sets all values; options given beside it override them.",
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="DATA", help="same as --data")
    parser.add_argument("--data", type=Path, help="folder of pictures, or a RealBlur list")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder of the run (default: runs/RECIPE-PRESET)"
    )
    names = "; ".join(f"{name}: {recipe.summary}" for name, recipe in RECIPES_BY_NAME.items())
    parser.add_argument("--recipe", choices=RECIPES_BY_NAME, default=DEFAULT_RECIPE, help=names)
    parser.add_argument("--preset", choices=PRESETS, help="widths of the networks")
    parser.add_argument("--prediction", choices=("eps", "x0", "v"), help="what the denoiser learns")
    parser.add_argument("--predictor", choices=("unet", "xydeblur", "unet-xy"))
    parser.add_argument(
        "--layout",
        choices=("auto", "frames"),
        default="auto",
        help="frames: consecutive sharp frames of a fast camera, averaged to blur",
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--blur-kind", metavar="NAME", help="kind of blur, such as blur_gamma")
    parser.add_argument("--blur", choices=BLURS, default="shake", help="synthetic blur to make")
    parser.add_argument("--longest-blur", type=float, metavar="PX")
    parser.add_argument("--init", type=Path, help="checkpoint to take the starting weights from")
    parser.add_argument("--only", type=Path, help="text file: names of the sharp pictures to use")
    parser.add_argument("--steps", "--max-steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--crop", type=int, metavar="PX")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--warmup", type=int, metavar="STEPS")
    parser.add_argument("--ema-decay", type=float, metavar="DECAY")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    parser.add_argument("--validation", type=Path, help="folder of pictures to measure PSNR on")
    parser.add_argument(
        "--validate-every", type=int, default=execution.validate_every, metavar="STEPS"
    )
    parser.add_argument(
        "--validation-crop", type=int, default=execution.validation_crop_px, metavar="PX"
    )
    parser.add_argument(
        "--accumulate", type=int, metavar="PARTS", help="parts of a step's batch on each device"
    )
    parser.add_argument("--devices", type=int, default=execution.devices)
    parser.add_argument("--accelerator", default=execution.accelerator, help="cpu, cuda or auto")
    parser.add_argument("--workers", type=int, default=execution.workers)
    parser.add_argument("--compile", action="store_true", help="run through torch.compile")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard files too")
    parser.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    return parser


def to_config(arguments: argparse.Namespace) -> TrainConfig:
    """The recipe's configuration with the options that were given in place of its own."""
    config = RECIPES_BY_NAME[arguments.recipe].config
    model = config.model
    if arguments.preset:
        model = replace(PRESETS[arguments.preset], prediction=model.prediction)
    blur = _with(BLURS[arguments.blur], longest_px=arguments.longest_blur)
    return _with(
        config,
        model=_with(model, prediction=arguments.prediction, predictor=arguments.predictor),
        data=_with(config.data, crop_px=arguments.crop, blur=blur),
        steps=arguments.steps,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        warmup_steps=arguments.warmup,
        ema_decay=arguments.ema_decay,
        seed=arguments.seed,
        bfloat16=False if arguments.float32 else None,
    )


def to_execution(arguments: argparse.Namespace, config: TrainConfig) -> Execution:
    """How the command line wants the run carried out."""
    recipe: Recipe = RECIPES_BY_NAME[arguments.recipe]
    devices = max(1, arguments.devices)
    accumulate = arguments.accumulate
    return Execution(
        devices=arguments.devices,
        accelerator=arguments.accelerator,
        accumulate=recipe.parts(config.batch, devices) if accumulate is None else accumulate,
        compile=arguments.compile,
        workers=arguments.workers,
        tensorboard=arguments.tensorboard,
        validate_every=arguments.validate_every,
        validation_crop_px=arguments.validation_crop,
    )


def find_data(arguments: argparse.Namespace) -> Pictures:
    """The training pictures, their sizes checked; raises DataError and OptionError."""
    if (arguments.folder is None) == (arguments.data is None):
        given = "none" if arguments.data is None else "two"
        raise OptionError(f"got {given} of DATA and --data; wanted is one folder of pictures")
    only = _read_names(arguments.only) if arguments.only else None
    pictures = find_pictures(
        arguments.data or arguments.folder,
        only,
        split=arguments.split,
        blur=arguments.blur_kind,
        layout=arguments.layout,
    )
    check_sizes(pictures)
    return pictures


def run(arguments: argparse.Namespace) -> None:
    """Train as the command line says; raises DvsrError."""
    require_training()
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    from train.loop import train

    config = to_config(arguments)
    execution = to_execution(arguments, config)
    pictures = find_data(arguments)
    validation = find_pictures(arguments.validation) if arguments.validation else None
    preset = arguments.preset or RECIPES_BY_NAME[arguments.recipe].preset
    folder = arguments.output or Path("runs") / f"{arguments.recipe}-{preset}"
    described = to_json(
        {
            "recipe": arguments.recipe,
            "config": asdict(config),
            "execution": asdict(execution),
            "data": {"layout": pictures.layout, "pictures": len(pictures)},
        }
    )
    say = rank_zero_only(print)
    say(described.decode().rstrip())

    @rank_zero_only
    def save() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CONFIG, described)

    save()
    written = train(
        config,
        pictures,
        folder,
        init=arguments.init,
        save_every=arguments.save_every,
        execution=execution,
        validation=validation,
    )
    say(f"wrote {written}")


def _with(value: T, **given: Any) -> T:
    """The dataclass ``value`` with those fields replaced for which not None is given."""
    changes = {name: new for name, new in given.items() if new is not None}
    return replace(value, **changes)  # type: ignore[type-var]


def _read_names(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} as a list of names: {error}") from error


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
