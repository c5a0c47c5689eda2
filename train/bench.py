"""``python -m train.bench``: how fast training reads its crops, and how fast it takes its steps."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import msgspec

from runtime.command import run_command
from runtime.errors import OptionError
from runtime.files import to_json, write_whole
from train.config import BLURS, PRESETS, RECIPES, DataConfig, Execution, TrainConfig
from train.data.layouts import find_pictures
from train.extras import require_training


def build_parser() -> argparse.ArgumentParser:
    """All options; their defaults are those of the configuration's dataclasses."""
    default = DataConfig()
    parser = argparse.ArgumentParser(prog="python -m train.bench", description=__doc__)
    parser.add_argument(
        "data", nargs="?", type=Path, help="folder of pictures to time crops from, as for training"
    )
    parser.add_argument("--blur", choices=BLURS, nargs="+", default=list(BLURS))
    parser.add_argument("--crop", type=int, default=default.crop_px, metavar="PX")
    parser.add_argument("--crops", type=int, default=300, help="how many to time")
    parser.add_argument(
        "--step", choices=PRESETS, metavar="PRESET", help="time training steps of this preset"
    )
    parser.add_argument("--batch", type=int, default=TrainConfig().batch, help="crops of a step")
    parser.add_argument("--compile", action="store_true", help="steps through torch.compile")
    parser.add_argument("--rounds", type=int, default=10, help="steps to time, and convolutions")
    parser.add_argument("--threads", type=int, default=1, help="threads of a step")
    parser.add_argument("--json", type=Path, help="result file to write")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write the result file; raises DvsrError."""
    if min(arguments.crops, arguments.rounds, arguments.batch, arguments.threads) < 1:
        raise OptionError(
            f"got --crops {arguments.crops} --rounds {arguments.rounds} --batch "
            f"{arguments.batch} --threads {arguments.threads}; wanted is at least 1"
        )
    if arguments.data is None and arguments.step is None:
        raise OptionError("got neither pictures nor --step; wanted is what to time")
    require_training()
    results: list[msgspec.Struct] = []
    if arguments.data is not None:
        results += _time_crops(arguments)
    if arguments.step is not None:
        results.append(_time_steps(arguments))
    if arguments.json:
        write_whole(arguments.json, to_json(results))


def _time_crops(arguments: argparse.Namespace) -> list[msgspec.Struct]:
    from train.timing import measure_crops

    pictures = find_pictures(arguments.data)
    config = DataConfig(crop_px=arguments.crop)
    speeds: list[msgspec.Struct] = []
    for name in arguments.blur:
        speed = measure_crops(
            pictures, replace(config, blur=BLURS[name]), arguments.crops, blur=name
        )
        print(
            f"{speed.blur}: {speed.later_crops_per_s:.0f} crops/s of {speed.crop_px} px on one "
            f"core, {speed.first_crops_per_s:.0f} while {speed.pictures} pictures are decoded"
        )
        speeds.append(speed)
    return speeds


def _time_steps(arguments: argparse.Namespace) -> msgspec.Struct:
    from train.loop import check_options
    from train.timing import measure_steps

    model = PRESETS[arguments.step]
    config = TrainConfig(
        model=model,
        data=DataConfig(crop_px=arguments.crop),
        loss=RECIPES["paper" if model.predictor == "direct" else "joint+pixel"],
        batch=arguments.batch,
    )
    check_options(config, Execution())
    speed = measure_steps(
        config,
        rounds=arguments.rounds,
        threads=arguments.threads,
        preset=arguments.step,
        compiled=arguments.compile,
    )
    print(
        f"{speed.preset}: a step of {speed.batch} crops of {speed.crop_px} px is "
        f"{speed.gflop_per_step:.1f} GFLOP and runs at {speed.gflop_per_s:.0f} GFLOP/s, "
        f"{speed.share:.0%} of the {speed.convolution_gflop_per_s:.0f} GFLOP/s of one "
        f"{speed.dtype} convolution; forward and backward alone reach {speed.networks_share:.0%}, "
        f"the networks' convolutions {speed.convolutions_share:.0%}"
    )
    for kind, share in sorted(speed.share_of_time.items(), key=lambda item: -item[1]):
        print(f"  {share:6.1%}  {kind}")
    return speed


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.bench", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
