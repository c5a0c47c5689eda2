"""``python -m train``: train a model from a folder of pictures."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from runtime.command import run_command
from runtime.errors import OptionError
from runtime.files import to_json, write_whole
from train.config import Execution, TrainConfig
from train.data.layouts import Pictures, check_sizes, find_pictures
from train.extras import require_training
from train.options import (
    add_machine_options,
    add_recipe_options,
    read_names,
    to_parts,
    to_stages,
)
from train.recipes import RECIPES_BY_NAME

DEFAULT_RECIPE = "joint+pixel"
CONFIG = "config.json"
JOINED = "init.safetensors"


def build_parser() -> argparse.ArgumentParser:
    """All options; what is left out is decided by the recipe, or by the dataclasses' defaults."""
    execution = Execution()
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description=__doc__,
        epilog="A recipe sets all values; options given beside it override them. The same command "
        "goes on with a run that was stopped.",
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="DATA", help="same as --data")
    parser.add_argument("--data", type=Path, help="folder of pictures, or a RealBlur list")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder of the run (default: runs/RECIPE-PRESET)"
    )
    parser.add_argument(
        "--layout",
        choices=("auto", "frames"),
        default="auto",
        help="frames: consecutive sharp frames of a fast camera, averaged to blur",
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--blur-kind", metavar="NAME", help="kind of blur, such as blur_gamma")
    parser.add_argument("--init", type=Path, help="checkpoint to take the starting weights from")
    parser.add_argument(
        "--init-denoiser",
        type=Path,
        metavar="CHECKPOINT",
        help="take the denoiser's starting weights from here, the predictor's from --init",
    )
    parser.add_argument("--only", type=Path, help="text file: names of the sharp pictures to use")
    parser.add_argument(
        "--minutes",
        type=float,
        help="of all stages together, over all resumed parts: the learning rate falls with them",
    )
    add_recipe_options(parser, DEFAULT_RECIPE)
    add_machine_options(parser, workers=execution.workers)
    parser.add_argument("--validation", type=Path, help="folder of pictures to measure PSNR on")
    parser.add_argument(
        "--validate-every", type=int, default=execution.validate_every, metavar="STEPS"
    )
    parser.add_argument(
        "--validation-crop", type=int, default=execution.validation_crop_px, metavar="PX"
    )
    parser.add_argument("--devices", type=int, default=execution.devices)
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard files too")
    parser.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    return parser


def to_execution(
    arguments: argparse.Namespace, config: TrainConfig, *, gpu: bool = False
) -> Execution:
    """How the command line wants the run carried out."""
    return Execution(
        devices=arguments.devices,
        accelerator=arguments.accelerator,
        accumulate=to_parts(arguments, config.batch, arguments.devices, gpu=gpu),
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
    only = read_names(arguments.only) if arguments.only else None
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
    require_training(arguments.devices)
    from train.device import choose_device
    from train.journal import read_history, summarise
    from train.loop import check_options
    from train.stages import train_stages
    from train.transfer import join

    gpu = choose_device(arguments.accelerator).type != "cpu"
    stages = to_stages(arguments, gpu=gpu)
    execution = to_execution(arguments, stages[0], gpu=gpu)
    for stage in stages:
        check_options(stage, execution)
    if arguments.denoiser_from_predictor and arguments.init is None:
        raise OptionError(
            "got --denoiser-from-predictor and no --init; wanted is a checkpoint to copy from"
        )
    if arguments.init_denoiser and (arguments.init is None or arguments.denoiser_from_predictor):
        raise OptionError(
            "got --init-denoiser without --init, or with --denoiser-from-predictor; wanted is a "
            "predictor's checkpoint beside it, and one beginning for the denoiser"
        )
    pictures = find_data(arguments)
    validation = find_pictures(arguments.validation) if arguments.validation else None
    preset = arguments.preset or RECIPES_BY_NAME[arguments.recipe].preset
    folder = arguments.output or Path("runs") / f"{arguments.recipe}-{preset}"
    described = to_json(
        {
            "recipe": arguments.recipe,
            "stages": [asdict(stage) for stage in stages],
            "execution": asdict(execution),
            "data": {"layout": pictures.layout, "pictures": len(pictures)},
        }
    )
    first = _is_first_process(arguments.devices)
    if first:
        print(described.decode().rstrip())
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CONFIG, described)
    init = arguments.init
    if arguments.init_denoiser:
        # Every process writes the same; each reads what it wrote, or what another just renamed.
        init = join(arguments.init, arguments.init_denoiser, folder / JOINED)
    written = train_stages(
        stages,
        pictures,
        folder,
        init=init,
        save_every=arguments.save_every,
        execution=execution,
        validation=validation,
    )
    if first:
        history = read_history(written.parent)
        print(f"wrote {written}: {summarise(history, stages[-1].batch)}")


def _is_first_process(devices: int) -> bool:
    if devices == 1:
        return True
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
