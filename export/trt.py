"""``python -m export.trt``: build the TensorRT engines of a bundle and prove what was built."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.engines.library import SOURCES, Library, installed, open_library
from export.engines.memory import describe_bytes
from export.engines.plan import (
    BuildConfig,
    check_level,
    parse_counts,
    parse_mib,
    parse_size,
    parse_targets,
    plan_sizes,
)
from export.extras import require
from runtime.bundle import Bundle, open_bundle
from runtime.command import Parser, run_command
from runtime.plans.devices import Device, cuda_devices
from runtime.plans.identity import Identity, rebuild_command
from runtime.plans.shapes import Options
from runtime.plans.store import DIRECTORY

if TYPE_CHECKING:
    from export.engines.builder import Builder, Finished


def build_parser() -> argparse.ArgumentParser:
    """All options of the command line."""
    parser = Parser(prog="python -m export.trt", description=__doc__)
    parser.add_argument("bundle", help="a directory made by python -m export.onnx")
    parser.add_argument("--library", choices=SOURCES, help="default: the one that is installed")
    _add_shapes(parser)
    _add_options(parser)
    _add_modes(parser)
    return parser


def _add_shapes(parser: argparse.ArgumentParser) -> None:
    shapes = parser.add_argument_group(
        "what the engines take", "sizes are WIDTHxHEIGHT; repeat --min, --opt, --max for profiles"
    )
    for name, help_text in (
        ("min", "smallest size (default: 64x64)"),
        ("opt", "size to be fast at (default: 1280x720)"),
        ("max", "largest size, which decides the memory (default: 1920x1088)"),
        ("pin", "a profile of this one size, for a camera's mode; may be repeated"),
    ):
        shapes.add_argument(f"--{name}", action="append", default=[], metavar="WxH", help=help_text)
    shapes.add_argument(
        "--samples", default="1", metavar="N", help="samples of a picture at once: 4, 1:4 or 1:2:4"
    )
    shapes.add_argument(
        "--pictures", default="1", metavar="N", help="pictures at once, in the same form"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    options = parser.add_argument_group("how they are built")
    options.add_argument(
        "--target", metavar="SM,...", help="GPUs to build for (tensorrt-rtx), such as sm86,sm89"
    )
    options.add_argument("--workspace", metavar="SIZE", help="most scratch memory of one kernel")
    options.add_argument(
        "--optimization-level", type=int, metavar="0..5", help="how long to search for kernels"
    )
    options.add_argument(
        "--timing-cache", type=Path, metavar="FILE", help="tensorrt's (default: in the bundle)"
    )
    for flag, help_text in (
        ("--tf32", "allow float32 products in ten bits: faster, and no longer float32"),
        ("--version-compatible", "engines for later versions too (tensorrt)"),
        ("--hardware-compatible", "engines for all GPUs from Ampere on (tensorrt)"),
        ("--strip-weights", "leave the weights out, for programs that refit; ours does not"),
        ("--refit", "let the weights be changed afterwards"),
    ):
        options.add_argument(flag, action="store_true", help=help_text)
    options.add_argument(
        "--memory-limit", metavar="SIZE", help="refuse engines that need more, such as 4GiB"
    )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    modes = parser.add_argument_group("instead of building").add_mutually_exclusive_group()
    modes.add_argument("--dry-run", action="store_true", help="print what would be built")
    modes.add_argument("--list", action="store_true", help="print the engines that are there")
    modes.add_argument("--rebuild", action="store_true", help="build also what is there")


def read_config(arguments: argparse.Namespace, multiple_px: int) -> BuildConfig:
    """The command line as one value; raises OptionError."""
    low, tuned, high, pinned = (
        [parse_size(text) for text in getattr(arguments, name)]
        for name in ("min", "opt", "max", "pin")
    )
    workspace, level = arguments.workspace, check_level(arguments.optimization_level)
    return BuildConfig(
        sizes=plan_sizes(low, tuned, high, pinned, multiple_px),
        pictures=parse_counts(arguments.pictures, "--pictures"),
        samples=parse_counts(arguments.samples, "--samples"),
        targets=parse_targets(arguments.target) if arguments.target else (),
        options=Options(
            workspace_mib=None if workspace is None else parse_mib(workspace, "--workspace"),
            optimization_level=level,
            tf32=arguments.tf32,
            version_compatible=arguments.version_compatible,
            hardware_compatible=arguments.hardware_compatible,
            strip_weights=arguments.strip_weights,
            refit=arguments.refit,
        ),
    )


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line asks; raises DvsrError."""
    require("onnx", "filelock")
    from export.engines.builder import Builder, build_engines

    bundle = open_bundle(arguments.bundle)
    devices = cuda_devices()
    if arguments.list:
        list_engines(bundle, devices[0] if devices else None)
        return
    config = read_config(arguments, bundle.manifest.size_multiple_px)
    limit = arguments.memory_limit
    limit_mib = None if limit is None else parse_mib(limit, "--memory-limit")
    library = open_library(arguments.library, devices)
    library.check(config.options, config.targets, timing_cache=arguments.timing_cache is not None)
    print(introduce(library, config, chosen=arguments.library is not None))
    if arguments.dry_run:
        show_plan(Builder(library, bundle, print), config)
        return
    finished = build_engines(
        bundle,
        library,
        config,
        memory_limit_mib=limit_mib,
        timing_cache=arguments.timing_cache,
        rebuild=arguments.rebuild,
    )
    for entry in finished:
        report(entry, bundle)


def introduce(library: Library, config: BuildConfig, *, chosen: bool) -> str:
    """Which library builds, why that one, and for which GPUs."""
    why = "as asked for" if chosen else "the one that is installed"
    return f"{library.name} {library.version} ({why}) builds for {library.device(config.targets)}"


def show_plan(builder: Builder, config: BuildConfig) -> None:
    """Print each engine that ``config`` asks for, and whether it is there."""
    from export.engines.store import Store

    store = Store(builder.bundle)
    for name, identity in builder.identities(config).items():
        there = store.find(identity) is not None
        print(f"{name}: {identity.precision}, graph {identity.graph_sha256[:12]}")
        for index, profile in enumerate(identity.profiles):
            print(f"  profile {index}: {profile}")
        print(f"  options: {_options(identity)}")
        print(f"  file: {DIRECTORY}/{identity.key}.plan")
        print("  is there already" if there else f"  would be built: {store.explain(identity)}")


def _options(identity: Identity) -> str:
    options = identity.options
    asked = {name: getattr(options, name) for name in options.__struct_fields__}
    return ", ".join(f"{k} {v}" for k, v in asked.items() if v not in (None, False)) or "defaults"


def report(entry: Finished, bundle: Bundle) -> None:
    """Print one engine: where it is, what it is made for, the memory it takes, and the proof."""
    from export.engines.proof import describe as describe_proof

    card = entry.card
    identity, memory = card.identity, card.memory
    how = f"built in {card.seconds:.1f} s" if entry.is_new else "was there already"
    where = bundle.directory / DIRECTORY / card.file
    print(f"{identity.graph}: {where}, {describe_bytes(card.plan.bytes)}, {how}")
    for index, profile in enumerate(identity.profiles):
        print(
            f"  profile {index}: {profile}: scratch {describe_bytes(memory.scratch[index])}, with "
            f"weights, inputs and outputs {describe_bytes(memory.needed(index))}"
        )
    print(f"  {describe_proof(card.proof)}")


def list_engines(bundle: Bundle, device: Device | None) -> None:
    """Print every engine of ``bundle``, whether it can be loaded here, and if not, why."""
    from export.engines.store import Store

    store = Store(bundle)
    cards, versions = store.cards(), installed()
    for card in cards:
        identity = card.identity
        print(
            f"{identity.graph}: {DIRECTORY}/{card.file}: {identity.library} for {identity.device}"
        )
        for profile in identity.profiles:
            print(f"  {profile}")
        apart = store.obstacles(card, versions, device)
        for difference in apart:
            print(f"  cannot be loaded here: {difference}")
        good = "can be loaded here" if device else "no GPU here; on one of those it can be loaded"
        command = rebuild_command(str(bundle.directory), identity)
        print(f"  rebuild: {command}" if apart else f"  {good}")
    if not cards:
        print(f"{store.directory} holds no engines; python -m export.trt builds them")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command("python -m export.trt", lambda: run(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
