"""``python -m runtime``: deblur picture files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from runtime.batch.distributed import connect, count_workers, run_there
from runtime.batch.journal import Remaining, begin
from runtime.batch.pipeline import run_here
from runtime.batch.plan import Batch, Job, plan_batch
from runtime.batch.settings import Recipe, Settings, make_recipe
from runtime.batch.worker import Outcome
from runtime.bundle import DEFAULT
from runtime.command import Parser, run_command
from runtime.errors import OptionError
from runtime.session import Session
from runtime.version import __version__

PROGRAM = "python -m runtime"
SOME_FAILED = 1


def build_parser() -> argparse.ArgumentParser:
    """All options; what is left out is decided by the bundle's preset."""
    default = Settings()
    parser = Parser(
        prog=PROGRAM,
        description="Deblur photographs with a DvSR bundle.",
        epilog="Exit code: 0 all pictures are there, 1 some failed, 2 wrong arguments. "
        f"Example: {PROGRAM} holiday -o sharp --steps 10 --samples 4",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help="pictures, folders of pictures, or patterns"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="folder, or the file of one picture"
    )
    parser.add_argument("--steps", type=int, help="diffusion steps, 0 to 500; 0: predictor alone")
    parser.add_argument("--samples", type=int, help="how many sampled pictures are averaged")
    parser.add_argument(
        "--self-ensemble",
        action=argparse.BooleanOptionalAction,
        default=default.self_ensemble,
        help="draw each sample on the picture turned another way (default: the preset's)",
    )
    parser.add_argument(
        "--strength",
        type=float,
        metavar="FACTOR",
        help="multiply what is changed in the picture by this, up to 2 (default: the preset's)",
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="same seed, same picture")
    parser.add_argument("--preset", help="a sampling preset of the bundle")
    parser.add_argument("--bundle", help="bundle directory, or the name of a shipped bundle")
    parser.add_argument("--engine", default=default.engine, help="auto, or an engine's name")
    parser.add_argument(
        "--memory", type=int, metavar="MIB", help="cut pictures into tiles to stay within this"
    )
    parser.add_argument(
        "--compare", action="store_true", help="write before and after side by side, too"
    )
    parser.add_argument(
        "--std", action="store_true", help="write a heat map of where the samples differ, too"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="do pictures again that are in OUT already"
    )
    parser.add_argument("--timings", action="store_true", help="print milliseconds by stage")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="run on a Ray cluster (given last, without ADDRESS: the one at hand, or a local one)",
    )
    parser.add_argument(
        "--ray-workers", type=int, metavar="N", help="default: one for each GPU, or each machine"
    )
    parser.add_argument("--version", action="version", version=f"dvsr-edge {__version__}")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 all fine, 1 some failed, 2 not begun."""
    arguments = build_parser().parse_args(argv)
    return run_command(PROGRAM, lambda: run(arguments))


def run(arguments: argparse.Namespace) -> int:
    """Deblur every picture; returns the exit code. Raises DvsrError where it cannot begin."""
    settings = Settings(
        bundle=arguments.bundle,
        engine=arguments.engine,
        memory_mib=arguments.memory,
        preset=arguments.preset,
        steps=arguments.steps,
        samples=arguments.samples,
        self_ensemble=arguments.self_ensemble,
        strength=arguments.strength,
        seed=arguments.seed,
        comparison=arguments.compare,
        std=arguments.std,
    )
    if arguments.ray_workers is not None and (arguments.ray is None or arguments.ray_workers < 1):
        raise OptionError(
            f"got --ray-workers {arguments.ray_workers}; wanted is at least 1, together with --ray"
        )
    recipe = make_recipe(settings)
    batch = plan_batch(
        arguments.inputs, arguments.output, comparison=settings.comparison, std=settings.std
    )
    runs = _here(settings) if arguments.ray is None else _there(arguments, settings)
    with runs as runner:
        remaining = _remaining(batch, recipe, arguments.overwrite)
        outcomes = _follow(runner(remaining.jobs), len(remaining.jobs))
    _summarise(batch, remaining, outcomes, arguments.timings)
    return SOME_FAILED if any(outcome.error is not None for outcome in outcomes) else 0


Runner = Callable[[Sequence[Job]], Iterator[Outcome]]


@contextmanager
def _here(settings: Settings) -> Iterator[Runner]:
    with Session(
        settings.bundle, engine=settings.engine, memory_mib=settings.memory_mib
    ) as session:
        # Why not the others is long: session.engine_reason tells it.
        reason = session.engine_reason.partition(";")[0]
        print(f"engine {session.engine}: {reason}; bundle {session.bundle.manifest.name}")
        yield lambda jobs: run_here(session, jobs, settings)


@contextmanager
def _there(arguments: argparse.Namespace, settings: Settings) -> Iterator[Runner]:
    with connect(arguments.ray or None) as ray:
        workers = count_workers(ray, arguments.ray_workers)
        print(f"Ray {ray.__version__}, {workers} worker(s); bundle {settings.bundle or DEFAULT}")
        yield lambda jobs: run_there(ray, jobs, settings, workers)


def _remaining(batch: Batch, recipe: Recipe, overwrite: bool) -> Remaining:
    if batch.folder is None:
        return Remaining(batch.jobs, 0)
    return begin(batch.folder, batch.jobs, recipe, overwrite=overwrite)


def _follow(outcomes: Iterator[Outcome], total: int) -> list[Outcome]:
    """Print each outcome as it comes, above a progress bar where several come to a terminal."""
    followed = []
    with tqdm(total=total, unit="picture", disable=None if total > 1 else True) as bar:
        for outcome in outcomes:
            if outcome.error is None:
                tqdm.write(str(outcome))
            else:
                tqdm.write(f"{PROGRAM}: {outcome}", file=sys.stderr)
            bar.update()
            followed.append(outcome)
    return followed


def _summarise(
    batch: Batch, remaining: Remaining, outcomes: Sequence[Outcome], timings: bool
) -> None:
    written = [outcome for outcome in outcomes if outcome.error is None]
    if len(batch.jobs) > 1 or remaining.done:
        print(
            f"{len(written)} written to {batch.folder}, {remaining.done} there already, "
            f"{len(outcomes) - len(written)} failed"
        )
    if timings and written:
        stages = dict.fromkeys(stage for outcome in written for stage in outcome.stages_ms)
        means = (
            f"{stage} {sum(each.stages_ms.get(stage, 0.0) for each in written) / len(written):.1f}"
            for stage in stages
        )
        print(f"milliseconds, mean of {len(written)}: {', '.join(means)}")


if __name__ == "__main__":
    raise SystemExit(main())
