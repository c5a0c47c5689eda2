from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.triton import main
from runtime.bundle import open_bundle

schema = pytest.importorskip(
    "tritonclient.grpc.model_config_pb2", reason="tritonclient[grpc] is not installed"
)


def read(path: Path) -> Any:
    """The message in a config.pbtxt, held against Triton's published schema."""
    from google.protobuf import text_format

    return text_format.Parse(path.read_text(), schema.ModelConfig())


def test_each_graph_becomes_a_model_of_the_published_schema(
    small_bundle: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    options = ("--device", "gpu", "--instances", "2", "--tensorrt")
    assert main([str(small_bundle), "-o", str(repository), *options]) == 0
    assert {path.name for path in repository.iterdir()} == {"small-predictor", "small-step"}
    config = read(repository / "small-step" / "config.pbtxt")
    assert config.name == "small-step"
    assert config.max_batch_size == 0
    assert {tensor.name: list(tensor.dims) for tensor in config.input} == {
        **{name: [-1, 3, -1, -1] for name in ("z", "y", "noise", "previous")},
        "row": [7],
    }
    assert [tensor.name for tensor in config.output] == ["z_next", "residual"]
    [group] = config.instance_group
    assert (group.count, group.kind) == (2, group.KIND_GPU)
    [accelerator] = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert config.parameters["size_multiple_px"].string_value == "8"


def test_the_models_are_the_bundle_s_graphs(small_bundle: Path, tmp_path: Path) -> None:
    assert main([str(small_bundle), "-o", str(tmp_path / "models")]) == 0
    graph = open_bundle(small_bundle).manifest.predictor
    model = tmp_path / "models" / "small-predictor" / "1" / "model.onnx"
    assert model.read_bytes() == (small_bundle / graph.file).read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_the_fused_graph_takes_and_returns_pictures(int8_bundle: Path, tmp_path: Path) -> None:
    assert main([str(int8_bundle), "-o", str(tmp_path / "models")]) == 0
    config = read(tmp_path / "models" / "int8-fused" / "config.pbtxt")
    image, noise = config.input
    assert (image.name, image.data_type, list(image.dims)) == (
        "image",
        schema.TYPE_UINT8,
        [-1, -1, 3],
    )
    assert list(noise.dims) == [3, 3, -1, -1]
    assert config.output[0].data_type == schema.TYPE_UINT8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--instances", "0"), "at least 1"),
        (("--tensorrt", "--device", "cpu"), "leave one out"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    small_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert main([str(small_bundle), "-o", str(tmp_path / "models"), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_repository_that_is_there_is_not_overwritten(
    small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    assert main([str(small_bundle), "-o", str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]
