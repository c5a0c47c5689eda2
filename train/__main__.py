"""``python -m train``: train a model from a folder of pictures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import msgspec
from lightning_fabric.utilities.rank_zero import rank_zero_only

from runtime.command import run_command
from train.config import BLURS, PRESETS, RECIPES, BlurConfig, DataConfig, Execution, TrainConfig
from train.layouts import find_pictures
from train.loop import train


def build_parser() -> argparse.ArgumentParser:
    """All options; their defaults are those of the configuration's dataclasses."""
    default, blur, execution = TrainConfig(), BlurConfig(), Execution()
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of pictures, or a RealBlur list")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--preset", choices=PRESETS, default="tiny", help="widths of the networks")
    parser.add_argument(
        "--recipe", choices=RECIPES, default="joint+pixel", help="terms of the loss"
    )
    parser.add_argument(
        "--prediction", choices=("eps", "x0", "v"), default=default.model.prediction
    )
    parser.add_argument(
        "--predictor", choices=("unet", "xydeblur", "unet-xy"), help="default: the preset's"
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--blur-kind", metavar="NAME", help="kind of blur, such as blur_gamma")
    parser.add_argument("--blur", choices=BLURS, default="shake", help="synthetic blur to make")
    parser.add_argument("--init", type=Path, help="checkpoint to take the starting weights from")
    parser.add_argument("--only", type=Path, help="text file: names of the pictures to use")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--crop", type=int, default=default.data.crop_px, metavar="PX")
    parser.add_argument("--longest-blur", type=float, default=blur.longest_px, metavar="PX")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--warmup", type=int, default=default.warmup_steps, metavar="STEPS")
    parser.add_argument("--validation", type=Path, help="folder of pictures to measure PSNR on")
    parser.add_argument(
        "--validate-every", type=int, default=execution.validate_every, metavar="STEPS"
    )
    parser.add_argument(
        "--validation-crop", type=int, default=execution.validation_crop_px, metavar="PX"
    )
    parser.add_argument("--accumulate", type=int, default=execution.accumulate, metavar="PARTS")
    parser.add_argument("--devices", type=int, default=execution.devices)
    parser.add_argument("--accelerator", default=execution.accelerator, help="cpu, cuda or auto")
    parser.add_argument("--workers", type=int, default=execution.workers)
    parser.add_argument("--compile", action="store_true", help="run through torch.compile")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard files too")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    parser.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    return parser


def to_config(arguments: argparse.Namespace) -> TrainConfig:
    """The configuration that the command line describes."""
    blur = replace(BLURS[arguments.blur], longest_px=arguments.longest_blur)
    model = replace(PRESETS[arguments.preset], prediction=arguments.prediction)
    if arguments.predictor:
        model = replace(model, predictor=arguments.predictor)
    return TrainConfig(
        model=model,
        data=DataConfig(crop_px=arguments.crop, blur=blur),
        loss=RECIPES[arguments.recipe],
        steps=arguments.steps,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        warmup_steps=arguments.warmup,
        seed=arguments.seed,
        bfloat16=not arguments.float32,
    )


def to_execution(arguments: argparse.Namespace) -> Execution:
    """How the command line wants the run carried out."""
    return Execution(
        devices=arguments.devices,
        accelerator=arguments.accelerator,
        accumulate=arguments.accumulate,
        compile=arguments.compile,
        workers=arguments.workers,
        tensorboard=arguments.tensorboard,
        validate_every=arguments.validate_every,
        validation_crop_px=arguments.validation_crop,
    )


def run(arguments: argparse.Namespace) -> None:
    """Train as the command line says; raises DvsrError."""
    config = to_config(arguments)
    only = arguments.only.read_text().split() if arguments.only else None
    pictures = find_pictures(arguments.data, only, split=arguments.split, blur=arguments.blur_kind)
    validation = find_pictures(arguments.validation) if arguments.validation else None
    say = rank_zero_only(print)
    say(msgspec.json.encode(config).decode())
    say(f"{len(pictures)} pictures: {pictures.layout}")
    model = train(
        config,
        pictures,
        arguments.output,
        init=arguments.init,
        save_every=arguments.save_every,
        execution=to_execution(arguments),
        validation=validation,
    )
    say(f"wrote {model}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
