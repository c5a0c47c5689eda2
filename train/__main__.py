"""``python -m train``: train a model from a folder of pictures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import msgspec

from runtime.errors import DvsrError
from train.config import PRESETS, RECIPES, BlurConfig, DataConfig, TrainConfig
from train.data import find_pictures
from train.loop import train


def build_parser() -> argparse.ArgumentParser:
    """All options; their defaults are those of the configuration's dataclasses."""
    default, blur = TrainConfig(), BlurConfig()
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of sharp pictures, or of blur/ and sharp/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--preset", choices=PRESETS, default="tiny", help="widths of the networks")
    parser.add_argument(
        "--recipe", choices=RECIPES, default="joint+pixel", help="terms of the loss"
    )
    parser.add_argument(
        "--prediction", choices=("eps", "x0", "v"), default=default.model.prediction
    )
    parser.add_argument("--init", type=Path, help="checkpoint to take the starting weights from")
    parser.add_argument("--only", type=Path, help="text file: names of the pictures to use")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--crop", type=int, default=default.data.crop_px, metavar="PX")
    parser.add_argument("--longest-blur", type=float, default=blur.longest_px, metavar="PX")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    parser.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    return parser


def to_config(arguments: argparse.Namespace) -> TrainConfig:
    """The configuration that the command line describes."""
    blur = BlurConfig(longest_px=arguments.longest_blur)
    return TrainConfig(
        model=replace(PRESETS[arguments.preset], prediction=arguments.prediction),
        data=DataConfig(crop_px=arguments.crop, blur=blur),
        loss=RECIPES[arguments.recipe],
        steps=arguments.steps,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        bfloat16=not arguments.float32,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        config = to_config(arguments)
        only = arguments.only.read_text().split() if arguments.only else None
        pictures = find_pictures(arguments.data, only)
        print(msgspec.json.encode(config).decode())
        model = train(
            config,
            pictures,
            arguments.output,
            init=arguments.init,
            save_every=arguments.save_every,
        )
    except DvsrError as error:
        print(f"python -m train: {error}", file=sys.stderr)
        return 2
    print(f"wrote {model}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
