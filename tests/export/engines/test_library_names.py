"""What we use of TensorRT to build and to run, held against what its releases really have.

``data/tensorrt_api.json`` was read from the bindings of three releases: for each class "read" or
"write" (a property that can be set) or "call" with its arguments ("?": has a default, "*": several
signatures), and the members of each enum.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import export.engines.library as library
import runtime.engines.tensorrt as runner

BUILDS, RUNS = Path(library.__file__), Path(runner.__file__)
SOURCES = (BUILDS, RUNS)
TREES = {source: ast.parse(source.read_text()) for source in SOURCES}
# So many names, calls and properties that are set there are in each: fewer, and some escaped.
AT_LEAST = {BUILDS: (40, 20, 4), RUNS: (15, 8, 1)}
API = json.loads((Path(__file__).parent / "data" / "tensorrt_api.json").read_text())
VERSIONS = tuple(API)
RTX = "tensorrt-rtx 1.7.1.116"

# How the files call their TensorRT objects; another name for one would escape this test.
CLASS_OF = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "settings": "IRuntimeConfig",
    "tensor": "ITensor",
}
# What else attributes are read of where engines are built: our own objects and Python's.
OURS = {
    *("self", "options", "shapes", "source", "messages", "view", "seen", "dequantized", "refusals"),
    *("text", "message", "importlib", "re", "signal", "threading", "time", "dict"),
    *("SOURCES", "_HINTS"),
}
# Reached only behind ``self.cross_builds`` or ``rtx``, which are true for tensorrt-rtx alone.
RTX_ONLY = {
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
    ("BuilderFlag", "REQUIRE_USER_ALLOCATION"),
    ("ComputeCapability", "__members__"),
    ("DynamicShapesKernelSpecializationStrategy", "EAGER"),
    ("IExecutionContext", "is_stream_capturable"),
    ("IRuntimeConfig", "dynamic_shapes_kernel_specialization_strategy"),
    # Releases before 10.11 have no such object; later ones do, and the lists cannot tell.
    ("ICudaEngine", "create_runtime_config"),
    ("IRuntimeConfig", "set_execution_context_allocation_strategy"),
}


def chain(node: ast.expr) -> list[str]:
    """``trt.BuilderFlag.TF32`` as its three names; empty for anything that is not such a chain."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def uses(source: Path) -> Iterator[tuple[str, str]]:
    """Every (class, member) that the file reaches."""
    for node in ast.walk(TREES[source]):
        names = chain(node) if isinstance(node, ast.Attribute) else []
        if len(names) >= 3 and names[0] == "trt":
            yield names[1], names[2]
        elif len(names) == 2 and names[0] in CLASS_OF:
            yield CLASS_OF[names[0]], names[1]


def calls(source: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Every call of a method or constructor of a TensorRT class."""
    for node in ast.walk(TREES[source]):
        names = chain(node.func) if isinstance(node, ast.Call) else []
        if len(names) == 2 and names[0] in CLASS_OF:
            yield CLASS_OF[names[0]], names[1], node  # type: ignore[misc]
        elif len(names) == 2 and names[0] == "trt":
            yield names[1], "__init__", node  # type: ignore[misc]


def written(source: Path) -> Iterator[tuple[str, str]]:
    """Every (class, property) that the file sets."""
    for node in ast.walk(TREES[source]):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            names = chain(target)
            if len(names) == 2 and names[0] in CLASS_OF:
                yield CLASS_OF[names[0]], names[1]


def required_of(version: str, name: str, member: str) -> bool:
    return version == RTX or (name, member) not in RTX_ONLY


@pytest.mark.parametrize("source", SOURCES, ids=["builds", "runs"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_that_is_used_exists(version: str, source: Path) -> None:
    used = {use for use in uses(source) if required_of(version, *use)}
    assert len(used) >= AT_LEAST[source][0]
    lacking = [
        (name, member)
        for name, member in used
        if member not in API[version].get(name, ()) and member != "__members__"
    ]
    assert not lacking


@pytest.mark.parametrize("source", SOURCES, ids=["builds", "runs"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_call_has_the_arguments_of_the_signature(version: str, source: Path) -> None:
    checked = 0
    for name, member, call in calls(source):
        if not required_of(version, name, member):
            continue
        signature = API[version][name][member].split()
        assert signature[0] == "call"
        if "*" in signature:
            continue
        known = [argument.rstrip("?") for argument in signature[1:]]
        needed = [argument for argument in signature[1:] if not argument.endswith("?")]
        assert len(needed) <= len(call.args) + len(call.keywords) <= len(known), (name, member)
        assert {keyword.arg for keyword in call.keywords} <= set(known), (name, member)
        checked += 1
    assert checked >= AT_LEAST[source][1]


@pytest.mark.parametrize("source", SOURCES, ids=["builds", "runs"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_property_that_is_set_can_be_set(version: str, source: Path) -> None:
    found = [use for use in written(source) if version == RTX or use not in RTX_ONLY]
    assert len(found) >= AT_LEAST[source][2]
    assert all(API[version][name][member] == "write" for name, member in found)


@pytest.mark.parametrize("source", SOURCES, ids=["builds", "runs"])
@pytest.mark.parametrize("version", VERSIONS)
def test_callbacks_have_the_names_and_arguments_that_the_library_calls(
    version: str, source: Path
) -> None:
    for node in ast.walk(TREES[source]):
        bases = [chain(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
        for _, base in (names for names in bases if names[:1] == ["trt"]):
            assert isinstance(node, ast.ClassDef)
            methods = {f.name: f for f in node.body if isinstance(f, ast.FunctionDef)}
            for name in set(methods) - {"__init__"}:
                arguments = [argument.arg for argument in methods[name].args.args][1:]
                assert ["call", *arguments] == API[version][base][name].split()


def test_no_flag_of_precision_is_used_because_later_versions_have_none() -> None:
    dead = {"FP16", "BF16", "INT8", "FP8", "OBEY_PRECISION_CONSTRAINTS", "EXPLICIT_BATCH"}
    assert not dead & {member for source in SOURCES for _, member in uses(source)}


def test_nothing_is_built_through_a_name_that_these_tests_do_not_know() -> None:
    bases = {
        node.value.id
        for node in ast.walk(TREES[BUILDS])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert bases <= {*CLASS_OF, *OURS, "trt"}


def test_no_context_or_engine_is_reached_under_a_name_that_these_tests_do_not_know() -> None:
    for node in ast.walk(TREES[RUNS]):
        names = chain(node) if isinstance(node, ast.Attribute) else []
        assert not {"_context", "_runtime", "_trt"} & set(names[:-1]), names


def test_no_other_file_of_export_or_runtime_imports_tensorrt() -> None:
    for path in (*BUILDS.parents[1].rglob("*.py"), *RUNS.parents[1].rglob("*.py")):
        imported = [
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        ]
        assert not {"tensorrt", "tensorrt_rtx"} & set(imported)


def test_the_list_of_tensorrt_rtx_is_what_is_installed() -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    if f"tensorrt-rtx {rtx.__version__}" != RTX:
        pytest.skip(f"tensorrt-rtx {rtx.__version__} is installed, the list is of {RTX}")
    for name, members in API[RTX].items():
        assert all(hasattr(getattr(rtx, name), member) for member in members)
