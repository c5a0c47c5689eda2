"""``python -m runtime.bench``: how long a picture takes on this machine, with tails and causes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from runtime.bench import tables
from runtime.bench.cases import Plan, check_plan, matrix, parse_size
from runtime.bench.compare import compare, describe
from runtime.bench.machine import describe_machine, describe_software
from runtime.bench.meters import open_meter
from runtime.bench.quality import read_pairs
from runtime.bench.readme import readme_table
from runtime.bench.report import check_plots, to_html
from runtime.bench.rows import Row, open_results, read_files, read_rows
from runtime.bench.runner import Circumstances, Runner
from runtime.bench.subjects import PEERS, Options, PeerSubject, Subject, open_engines
from runtime.bundle import find_bundle
from runtime.command import run_command
from runtime.engines import ENGINES
from runtime.errors import EngineError, OptionError
from runtime.files import write_whole

_PROGRAM = "python -m runtime.bench"


def build_parser() -> argparse.ArgumentParser:
    """All options; how long to measure is described by :class:`runtime.bench.cases.Plan`."""
    plan = Plan()
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Time deblur() on engines, sizes, steps, samples and batches, side by side.",
        epilog="Example: python -m runtime.bench --engines onnx-cpu --sizes 256x256 640x360 "
        "1280x720 --steps 0 1 2 4 10 --out results.jsonl --html report.html",
    )
    what = parser.add_argument_group("what is measured (every combination)")
    what.add_argument(
        "--engines",
        nargs="+",
        default=["auto"],
        metavar="ENGINE",
        help=f"auto, all (those that run here), or of {', '.join(ENGINES)} (default: auto)",
    )
    what.add_argument(
        "--bundle",
        nargs="+",
        default=[None],
        help="bundles to compare: precisions, or builds (default: the shipped one)",
    )
    what.add_argument("--sizes", nargs="+", default=["640x360"], metavar="WxH")
    what.add_argument("--steps", nargs="+", type=int, default=[10], metavar="T")
    what.add_argument("--samples", nargs="+", type=int, default=[1], metavar="S")
    what.add_argument("--batch", nargs="+", type=int, default=[1], metavar="N")
    what.add_argument("--preset", help="sampling preset whose schedule is used")
    what.add_argument("--seed", type=int, default=0)
    what.add_argument("--graph", default="auto", help="CUDA graphs: auto, on or off")
    what.add_argument("--memory", type=int, metavar="MIB", help="the session's memory_mib")
    what.add_argument(
        "--peers",
        nargs="+",
        default=[],
        choices=sorted(PEERS),
        metavar="PEER",
        help=f"other ways to do the same work, beside the engines: {', '.join(PEERS)}",
    )
    what.add_argument("--checkpoint", type=Path, help="weights of the bundle, for torch peers")
    what.add_argument(
        "--data", type=Path, help="folder with blur/ and sharp/: quality beside speed"
    )
    what.add_argument("--pictures", type=int, default=4, help="pairs of --data used (default: 4)")
    how = parser.add_argument_group("how long")
    how.add_argument("--runs", type=int, default=plan.runs, help="at least (default: %(default)s)")
    how.add_argument(
        "--seconds",
        type=float,
        default=plan.seconds,
        help="at least, for each row (default: %(default)s)",
    )
    how.add_argument(
        "--warm-up",
        type=float,
        default=plan.warm_seconds,
        metavar="S",
        help="at most (default: %(default)s)",
    )
    how.add_argument(
        "--fps",
        nargs="+",
        type=float,
        default=list(plan.fps),
        help="frame rates whose deadlines are counted (default: 30 60)",
    )
    how.add_argument(
        "--idle",
        type=float,
        default=plan.idle_seconds,
        metavar="S",
        help="pause before each after-idle call (default: %(default)s)",
    )
    how.add_argument("--idle-runs", type=int, default=plan.idle_runs)
    how.add_argument(
        "--cold-runs",
        type=int,
        default=plan.cold_runs,
        help="fresh interpreters for each row; 0: none (default: %(default)s)",
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument(
        "--out",
        type=Path,
        metavar="JSONL",
        help="result file; what it holds already is not measured again",
    )
    out.add_argument("--html", type=Path, help="report to write")
    out.add_argument("--compare", type=Path, metavar="OLD.jsonl", help="mark what changed since")
    out.add_argument(
        "--from",
        dest="results",
        nargs="+",
        type=Path,
        metavar="JSONL",
        help="measure nothing: report on these result files",
    )
    out.add_argument(
        "--readme-table",
        nargs="+",
        type=Path,
        metavar="JSONL",
        help="measure nothing: print README.md's table of these result files",
    )
    return parser


def plan_of(arguments: argparse.Namespace) -> Plan:
    """How long to measure; raises OptionError."""
    return check_plan(
        Plan(
            runs=arguments.runs,
            seconds=arguments.seconds,
            warm_seconds=arguments.warm_up,
            idle_runs=arguments.idle_runs,
            idle_seconds=arguments.idle,
            cold_runs=arguments.cold_runs,
            fps=tuple(arguments.fps),
        )
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure or read rows, then print and write; raises DvsrError."""
    if arguments.readme_table:
        print(readme_table(read_files(arguments.readme_table)))
        return
    old = read_rows(arguments.compare) if arguments.compare else []
    if arguments.html:
        check_plots()  # before hours of measuring, not after
    rows = read_files(arguments.results) if arguments.results else measure_rows(arguments)
    if not rows:
        raise OptionError("there are no rows to report; give --from files that hold some")
    changes = compare(old, rows)
    print(tables.to_text(rows))
    for lines in (
        tables.describe_ratios(rows),
        tables.describe_lines(rows),
        tables.describe_rooflines(rows),
        describe(changes),
    ):
        if lines:
            print("", *lines, sep="\n")
    if arguments.html:
        write_whole(arguments.html, to_html(rows, changes).encode())
        print(f"\nreport: {arguments.html}")


def measure_rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure the matrix; the rows are all that the result file then holds. Raises DvsrError."""
    plan = plan_of(arguments)
    works = list(
        matrix(
            [parse_size(text) for text in arguments.sizes],
            arguments.steps,
            arguments.samples,
            arguments.batch,
        )
    )
    options = Options(
        preset=arguments.preset,
        seed=arguments.seed,
        graph=arguments.graph,
        memory_mib=arguments.memory,
        checkpoint=arguments.checkpoint,
    )
    out: Path | None = arguments.out
    kept = open_results(out) if out is not None else []
    with ExitStack() as stack:
        subjects = list(_open_subjects(arguments, options, stack))
        meter = open_meter()
        if meter is not None:
            stack.enter_context(closing(meter))
        shared = Circumstances(
            plan=plan,
            options=options,
            software=describe_software(),
            machine=describe_machine(),
            meter=meter,
            pairs=read_pairs(arguments.data, arguments.pictures) if arguments.data else None,
            progress=_say,
        )
        made = Runner(subjects, shared).run(works, out, {row.key for row in kept})
    return read_rows(out) if out is not None else made


def _open_subjects(
    arguments: argparse.Namespace, options: Options, stack: ExitStack
) -> Iterator[Subject]:
    """Engines of every bundle, then its peers; what was named must run, "all" skips the rest."""
    everything = arguments.engines == ["all"]
    # The fake engine makes no picture worth timing, and must be named.
    every = [name for name in ENGINES if name != "fake"]
    names = every if everything else arguments.engines
    bundles = [find_bundle(where) for where in arguments.bundle]
    check_names(bundles)
    for where in bundles:
        engines, refused = open_engines(names, where, options)
        for subject in engines:
            stack.callback(subject.close)
        for name, reason in refused.items():
            if not everything:
                raise EngineError(reason)
            print(f"{name}: {tables.NOT_MEASURED} ({reason})", file=sys.stderr)
        if not engines:
            raise EngineError(f"no engine runs {where} here; python -m export.doctor says why")
        yield from engines
        # Peers stand beside the first bundle: the others are other precisions or builds of it.
        for name in arguments.peers if where == bundles[0] else ():
            peer = PeerSubject(name, engines[0].bundle, options)
            stack.callback(peer.close)
            yield peer


def check_names(bundles: Sequence[Path]) -> None:
    """Raise OptionError where two bundles would have one name in tables and result files."""
    names = [path.resolve().name for path in bundles]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(
                f"got two bundles in folders named '{name}', which no row could tell apart; "
                "rename one of the folders"
            )


def _say(text: str) -> None:
    """Progress on one line of the terminal; only the ends of works where it is none."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text.endswith("\n"):
        print(text, end="", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(_PROGRAM, lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
