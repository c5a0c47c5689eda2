r"""Measure all that the model card of a bundle states, and put the tables into the card.

    python scripts/model_card.py VALIDATION --checkpoint model.safetensors \
        --niqe-parameters natural.npz
    python scripts/model_card.py VALIDATION --only realtime card
    python scripts/model_card.py VALIDATION --only card

Parts, in the order in which they run:

    balanced   0 and 10 steps x 4 samples, and what becomes of sharp pictures
    samples    10 steps x 1 and x 8 samples
    turned     10 steps x 8 samples of the preset distortion: each of the picture turned another way
    realtime   2 steps of the preset realtime
    fp16       0 steps and 2 steps x 1 sample in half and in full precision, on some pairs; needs
               the checkpoint, and patience: half precision is slow on a processor
    sweep      the paper's two facts and the perception-distortion curve, on some pairs
    pictures   examples/make_gallery.py
    card       the tables between the marks of docs/model-card-NAME.md, and for the default bundle
               those of README.md

Result files go to benchmarks/, the curve to docs/. The sweep can be stopped and goes on; for other
weights it starts anew. NIQE is measured where its natural model is given; that behind the card of
`tiny` was made by python -m train.naturalness from every third of the training photographs.
"""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

# The repository need not be installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from export.onnx import main as export_onnx
from export.presets import DEFAULT_PRESET
from runtime.bundle import DEFAULT, open_bundle
from runtime.command import run_command
from runtime.errors import DataError, DvsrError, OptionError
from runtime.files import write_whole
from train.evaluate import main as evaluate
from train.measuring.curve import PICTURE
from train.measuring.grids import START_NAMES, describe
from train.measuring.points import CSV, Point, read_points
from train.sweep import CIRCUMSTANCES
from train.sweep import main as sweep

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS, DOCS = ROOT / "benchmarks", ROOT / "docs"
PARTS = ("balanced", "samples", "turned", "realtime", "fp16", "sweep", "pictures", "card")

Score = dict[str, Any]


class PartError(DvsrError):
    """A part whose command ended with an error, which it has printed."""


def measure(arguments: argparse.Namespace) -> None:
    """Run the chosen parts; raises DvsrError."""
    run = works(arguments, open_bundle(arguments.bundle).manifest.name)
    for part in PARTS:
        if part in arguments.only:
            print(f"== {part}", flush=True)
            run[part]()


def works(arguments: argparse.Namespace, name: str) -> dict[str, Callable[[], None]]:
    """What each part does, for the bundle of that name."""
    return {
        "balanced": lambda: _evaluate(arguments, "balanced", "--at", "0x1", "10x4", "--sharp"),
        "samples": lambda: _evaluate(arguments, "samples", "--at", "10x1", "10x8"),
        "turned": lambda: _evaluate(
            arguments, "turned", "--preset", "distortion", "--at", "10x8", "--sharp"
        ),
        "realtime": lambda: _evaluate(arguments, "realtime", "--preset", "realtime", "--at", "2x1"),
        "fp16": lambda: _measure_half(arguments),
        "sweep": lambda: _sweep(arguments, name),
        "pictures": lambda: _draw_pictures(arguments.bundle),
        "card": lambda: _fill(name),
    }


def _niqe(arguments: argparse.Namespace) -> list[str]:
    path = arguments.niqe_parameters
    return [] if path is None else ["--niqe-parameters", str(path)]


def result_path(bundle: str, part: str) -> Path:
    """The result file of a part."""
    return BENCHMARKS / f"quality-{bundle}-{part}.json"


def _evaluate(
    arguments: argparse.Namespace, part: str, *options: str, bundle: str | None = None
) -> None:
    name = open_bundle(arguments.bundle).manifest.name
    target = result_path(name, part)
    common = [bundle or arguments.bundle, str(arguments.validation), "--engine", "onnx-cpu"]
    common += _niqe(arguments)
    _check(evaluate([*common, *options, "--json", str(target)]))


def _check(exit_code: int) -> None:
    if exit_code:
        raise PartError("stopped: a part failed, see above; the parts before it are written")


def _measure_half(arguments: argparse.Namespace) -> None:
    if arguments.checkpoint is None:
        raise OptionError("part fp16 needs --checkpoint, or name the other parts with --only")
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(Path(folder) / "half")
        # The same samplers as the bundle's: only precision may differ.
        level = open_bundle(arguments.bundle).preset(DEFAULT_PRESET).sampler.noisiest
        options = ["--precision", "fp16", "--guess-level", str(level)]
        _check(export_onnx([str(arguments.checkpoint), "-o", bundle, *options]))
        some = ["--pictures", str(arguments.pictures)]
        options = ["--at", "0x1", "2x1", "--metrics", *some]
        _evaluate(arguments, "fp16", *options, bundle=bundle)
    _evaluate(arguments, "fp32", *options)


def _sweep(arguments: argparse.Namespace, name: str) -> None:
    output = BENCHMARKS / f"sweep-{name}"
    _clear_if_of_other_weights(output, arguments.bundle)
    options = ["--grid", *arguments.grids, "--pictures", str(arguments.sweep_pictures)]
    options += _niqe(arguments)
    if arguments.beside:
        options += ["--beside", str(arguments.beside)]
    common = [arguments.bundle, str(arguments.validation), "--engine", "onnx-cpu"]
    _check(sweep([*common, *options, "-o", str(output)]))
    if (output / PICTURE).exists():
        shutil.move(output / PICTURE, DOCS / f"curve-{name}.png")


def _clear_if_of_other_weights(output: Path, bundle_name: str) -> None:
    record = output / CIRCUMSTANCES
    if not record.exists():
        return
    manifest = open_bundle(bundle_name).manifest
    graphs = [manifest.files[graph.file].sha256 for graph in (manifest.predictor, manifest.step)]
    if json.loads(record.read_text())["circumstances"]["graphs_sha256"] != graphs:
        shutil.rmtree(output)


def _draw_pictures(bundle: str) -> None:
    runpy.run_path(str(ROOT / "examples" / "make_gallery.py"))["main"](bundle)


def _fill(name: str) -> None:
    _replace_tables(DOCS / f"model-card-{name}.md", card_tables(name))
    if name == DEFAULT:
        _replace_tables(ROOT / "README.md", readme_tables(name))


def card_tables(name: str) -> dict[str, list[str]]:
    """The tables of a bundle's model card, from its result files; raises DataError."""
    return {
        "quality": quality_table([_read(name, part) for part in ("balanced", "samples", "turned")]),
        "natural": natural_table(
            [_read(name, part) for part in ("balanced", "samples", "turned", "realtime")]
        ),
        "realtime": realtime_table(_read(name, "realtime"), _read(name, "samples")),
        "fp16": precision_table(_read(name, "fp16"), _read(name, "fp32")),
        "pictures": pictures_table(_read(name, "pictures")["pictures"]),
        **sweep_tables(read_points(BENCHMARKS / f"sweep-{name}" / CSV)),
    }


def readme_tables(name: str) -> dict[str, list[str]]:
    """The tables of the README, which shows the default bundle; raises DataError."""
    return {part: quality_table([_read(name, part)]) for part in ("balanced", "samples", "turned")}


def _replace_tables(file: Path, tables: dict[str, list[str]]) -> None:
    text = file.read_text(encoding="utf-8")
    for table, lines in tables.items():
        text = replace_table(text, table, lines)
    write_whole(file, text.encode())
    print(f"wrote {file}")


def _read(name: str, part: str) -> dict[str, Any]:
    path = result_path(name, part)
    if not path.exists():
        raise DataError(f"{path} is missing; run the part {part} first")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def replace_table(text: str, name: str, lines: Iterable[str]) -> str:
    """``text`` with ``lines`` between the marks of the table ``name``; raises DataError."""
    begin, end = f"<!-- table: {name} -->\n", f"<!-- /table: {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise DataError(f"the page has no table '{name}'; wanted are {begin.strip()} and {end}")
    return f"{before}{begin}{chr(10).join(lines)}\n{end}{after}"


def quality_table(results: Sequence[dict[str, Any]]) -> list[str]:
    """Every group at every setting: distortion going in and coming out."""
    lines = _head(
        "group", "steps x samples", "PSNR in", "PSNR out", "gain dB", "SSIM in", "SSIM out",
        "sharp kept dB (min)",
    )  # fmt: skip
    scores = [
        {**score, "turned": ", turned" if result.get("self_ensemble") else ""}
        for result in results
        for score in result["scores"]
    ]
    for score in sorted(scores, key=lambda s: (s["steps"], s["samples"])):
        lines.append(
            _row(
                f"{score['group']} ({score['pictures']})",
                f"{score['steps']} x {score['samples']}{score['turned']}",
                f"{score['blurred']:.2f}",
                f"{score['deblurred']:.2f}",
                f"{score['gain']:+.2f}",
                _metric(score, "input_metrics", "ssim"),
                _metric(score, "metrics", "ssim"),
                _kept(score),
            )
        )
    return lines


def natural_table(results: Sequence[dict[str, Any]]) -> list[str]:
    """NIQE and blur effect of what goes in, what comes out, and the originals."""
    names = {"niqe": "NIQE", "blur_effect": "blur effect"}
    sides = {"input_metrics": "in", "metrics": "out", "sharp_metrics": "originals"}
    columns = [f"{label} {side}" for label in names.values() for side in sides.values()]
    lines = _head("group", "preset, steps x samples", *columns)
    for result in results:
        # Result files from before NIQE was measured hold nothing of the originals.
        for score in (score for score in result["scores"] if score.get("sharp_metrics")):
            values = (_metric(score, side, name) for name in names for side in sides)
            setting = f"{result['preset']}, {score['steps']} x {score['samples']}"
            lines.append(_row(score["group"], setting, *values))
    return lines


def realtime_table(realtime: dict[str, Any], balanced: dict[str, Any]) -> list[str]:
    """2 steps of the preset realtime beside 10 steps x 1 sample of balanced."""
    lines = _head("group", "10 x 1 dB", "realtime, 2 x 1 dB", "difference dB")
    for fast in realtime["scores"]:
        slow = _find(balanced, fast["group"], 10, 1)
        lines.append(_compare(fast["group"], slow, fast))
    return lines


def precision_table(half: dict[str, Any], full: dict[str, Any]) -> list[str]:
    """fp16 beside fp32, of the same weights."""
    lines = _head("group, steps x samples", "fp32 dB", "fp16 dB", "difference dB")
    for score in half["scores"]:
        other = _find(full, score["group"], score["steps"], score["samples"])
        label = f"{score['group']}, {score['steps']} x {score['samples']}"
        lines.append(_compare(label, other, score, digits=3))
    return lines


def pictures_table(galleries: dict[str, list[dict[str, Any]]]) -> list[str]:
    """PSNR of the rows of each gallery."""
    lines = _head("picture", "row", "PSNR in", "PSNR out")
    for gallery, rows in galleries.items():
        for number, seen in enumerate(rows, 1):
            before, after = (
                "-" if value is None else f"{value:.2f}"
                for value in (seen["before"], seen["after"])
            )
            lines.append(_row(gallery, f"{number}, {seen['name']}", before, after))
    return lines


def sweep_tables(points: Sequence[Point]) -> dict[str, list[str]]:
    """The paper's two facts: samples averaged at ten steps; steps at one sample."""
    averaging = _head("10 steps", "samples", "PSNR", "SSIM", "NIQE")
    steps = _head("one sample", "PSNR", "SSIM", "NIQE")
    ordered = sorted(points, key=lambda p: (p.start, p.steps, p.samples))
    tried = {p.sampler for p in points if p.samples > 1}
    for point in ordered:
        values = [f"{point.psnr:.3f}", *(_number(v) for v in (point.ssim, point.niqe))]
        if point.sampler in tried:
            start = START_NAMES[point.start]
            averaging.append(_row(f"from {start}", str(point.samples), *values))
        if point.samples == 1:
            steps.append(_row(describe(point.sampler), *values))
    return {"averaging": averaging, "steps": steps}


def _find(result: dict[str, Any], group: str, steps: int, samples: int) -> Score:
    for score in result["scores"]:
        if (score["group"], score["steps"], score["samples"]) == (group, steps, samples):
            found: Score = score
            return found
    raise DataError(f"no {steps} x {samples} of {group} in the result file to compare with")


def _compare(label: str, old: Score, new: Score, digits: int = 2) -> str:
    values = (old["deblurred"], new["deblurred"])
    difference = f"{values[1] - values[0]:+.{digits}f}"
    return _row(label, *(f"{value:.{digits}f}" for value in values), difference)


def _metric(score: Score, side: str, name: str, digits: int = 3) -> str:
    value = score.get(side, {}).get(name)
    return "not measured" if value is None else f"{value:.{digits}f}"


def _kept(score: Score) -> str:
    if score["sharp_kept"] is None:
        return "not measured"
    return f"{score['sharp_kept']:.2f} ({score['sharp_kept_min']:.2f})"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _head(*names: str) -> list[str]:
    return [_row(*names), "|---" * len(names) + "|"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("validation", type=Path, help="folder with blur/ and sharp/")
    parser.add_argument("--bundle", default=DEFAULT, help="bundle directory or shipped name")
    parser.add_argument("--checkpoint", type=Path, help="the bundle's weights, for fp16")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--pictures", type=int, default=8, help="pairs of fp16")
    parser.add_argument("--sweep-pictures", type=int, default=2, help="pairs of the sweep")
    parser.add_argument("--grids", nargs="+", default=["averaging", "steps"])
    parser.add_argument("--niqe-parameters", type=Path, metavar="FILE", help="as train.evaluate")
    parser.add_argument("--beside", type=Path, metavar="CSV", help="other methods for the curve")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("model_card.py", lambda: measure(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
