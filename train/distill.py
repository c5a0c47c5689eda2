"""``python -m train.distill``: teach the denoiser to do with fewer steps, the predictor frozen.

Progressive distillation (Salimans and Ho 2022): a student, starting from its teacher's weights,
learns to land in one step where the teacher lands in two; then it teaches the next. At the end
student and teacher are measured at equal steps, and the better one is the result: exported, its
preset ``realtime`` takes the steps that were taught.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

from runtime.bundle import sha256
from runtime.command import run_command
from runtime.errors import OptionError
from runtime.files import to_json, write_whole
from runtime.version import __version__
from train.config import RECIPES, DistillConfig, Execution, TrainConfig
from train.data.layouts import check_sizes, find_pictures, take_evenly
from train.extras import require_training
from train.options import add_machine_options, read_names
from train.provenance import commit, fingerprint, versions
from train.recipes import UNLIMITED_STEPS

RESULT = "distill.json"


def to_rounds(base: TrainConfig, arguments: argparse.Namespace) -> tuple[TrainConfig, ...]:
    """The configuration of each round; raises OptionError for steps that are not halved."""
    steps: list[int] = arguments.steps
    if any(before != 2 * after for before, after in itertools.pairwise(steps)):
        raise OptionError(f"got steps {steps}; wanted is each the half of the one before: 4 2 1")
    if arguments.realtime not in steps:
        raise OptionError(f"got --realtime {arguments.realtime}; wanted is one of {steps}")
    return tuple(
        replace(
            base,
            loss=RECIPES["denoiser"],
            denoiser_from_predictor=False,
            steps=arguments.train_steps or UNLIMITED_STEPS,
            minutes=arguments.minutes / len(steps),
            batch=arguments.batch or base.batch,
            learning_rate=arguments.learning_rate,
            warmup_steps=arguments.warmup,
            # Crops of its own in each round.
            seed=arguments.seed + number,
            distill=DistillConfig(
                count, arguments.noisiest, arguments.cleanest, arguments.start, arguments.keep
            ),
        )
        for number, count in enumerate(steps)
    )


def build_parser() -> argparse.ArgumentParser:
    """All options; what is left out is the checkpoint's or the dataclasses'."""
    default = DistillConfig()
    parser = argparse.ArgumentParser(
        prog="python -m train.distill",
        description=__doc__,
        epilog="The same command goes on with a distillation that was stopped.",
    )
    parser.add_argument("checkpoint", type=Path, help="the teacher, a model.safetensors")
    parser.add_argument("data", type=Path, help="pictures to train on, as python -m train takes")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--validation", type=Path, required=True, help="pairs to decide on")
    parser.add_argument("--pictures", type=int, metavar="N", help="every k-th of them, N in all")
    parser.add_argument("--only", type=Path, help="text file: names of the sharp pictures to use")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 2, 1], help="one after another")
    parser.add_argument(
        "--realtime", type=int, default=2, metavar="STEPS", help="which student may be the result"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="of all rounds together")
    parser.add_argument("--train-steps", type=int, metavar="N", help="the most that a round takes")
    parser.add_argument("--noisiest", type=float, default=default.noisiest, metavar="LEVEL")
    parser.add_argument("--cleanest", type=float, default=default.cleanest, metavar="LEVEL")
    parser.add_argument("--start", choices=("guess", "noise"), default=default.start)
    parser.add_argument(
        "--keep",
        type=float,
        default=default.keep,
        help=f"share of a batch for ordinary training (default: {default.keep})",
    )
    parser.add_argument("--batch", type=int, help="(default: the checkpoint's)")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--warmup", type=int, default=100, metavar="STEPS")
    parser.add_argument("--seed", type=int, default=100, help="of the first round")
    parser.add_argument("--save-every", type=int, default=200, metavar="STEPS")
    add_machine_options(parser, workers=Execution().workers)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Distill, measure, and write the better weights and the result file; raises DvsrError."""
    require_training()
    from train.checkpoint import load_card
    from train.lessons import few_steps
    from train.run import MODEL
    from train.students import SEED, Result, compare, gain_db, teach, to_table

    rounds = to_rounds(load_card(arguments.checkpoint).config, arguments)
    only = read_names(arguments.only) if arguments.only else None
    pictures = find_pictures(arguments.data, only)
    pairs = take_evenly(find_pictures(arguments.validation, split="test"), arguments.pictures)
    check_sizes(pairs)
    students = teach(
        arguments.checkpoint,
        pictures,
        arguments.output,
        rounds,
        save_every=arguments.save_every,
        execution=Execution(
            accelerator=arguments.accelerator,
            accumulate=arguments.accumulate or 1,
            compile=arguments.compile,
            workers=arguments.workers,
        ),
    )
    if len(students) < len(rounds):
        print("stopped; the same command goes on")
        return
    blurred, measured, missing = compare(arguments.checkpoint, students, rounds, pairs)
    chosen = next(c.distill for c in rounds if c.distill and c.distill.steps == arguments.realtime)
    gain = gain_db(measured, few_steps(chosen))
    weights = students[arguments.realtime] if gain > 0 else arguments.checkpoint
    write_whole(arguments.output / MODEL, weights.read_bytes())
    result = Result(
        made_by=f"dvsr-edge {__version__}",
        commit=commit(),
        teacher_sha256=sha256(arguments.checkpoint.read_bytes()),
        data=arguments.validation.name,
        data_sha256=fingerprint(pairs),
        pictures=len(pairs),
        seed=SEED,
        versions=versions(),
        not_measured=missing,
        blurred=blurred,
        measured=tuple(measured),
        realtime_steps=arguments.realtime,
        gain_db=gain,
        result="student" if gain > 0 else "teacher",
    )
    write_whole(arguments.output / RESULT, to_json(result))
    print(to_table(blurred, measured))
    print(
        f"with {arguments.realtime} steps the student has {gain:+.3f} dB on the teacher: "
        f"{arguments.output / MODEL} is the {result.result}"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m train.distill", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
