from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.bundle import SEAL
from export.check import main
from export.parity import TOLERANCES, both, compare, deblur, picture
from runtime.bundle import MANIFEST, open_bundle, sha256
from runtime.engines import Request, Result
from runtime.engines.onnx import OnnxEngine

SIZES = ("--size", "32x32", "--size", "56x40")


def change(bundle: Path, file: str, edit: Callable[[onnx.ModelProto], None]) -> None:
    """Edit a graph of ``bundle`` and vouch for it in the manifest."""
    model = onnx.load(bundle / file)
    edit(model)
    data = model.SerializeToString()
    (bundle / file).write_bytes(data)
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][file] = {"bytes": len(data), "sha256": sha256(data)}
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def scale(layer: str, factor: float) -> Callable[[onnx.ModelProto], None]:
    """An edit that multiplies the weights of one layer."""

    def edit(model: onnx.ModelProto) -> None:
        [tensor] = [t for t in model.graph.initializer if t.name == f"{layer}.weight"]
        values = onnx.numpy_helper.to_array(tensor)
        changed = (values * factor).astype(values.dtype)
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))

    return edit


def test_a_right_bundle_is_sealed_and_opens(
    bundle: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle), "--checkpoint", str(checkpoint), *SIZES, "--bisect"]) == 0
    said = capsys.readouterr().out
    assert said.count("no layer of 53 departs") == 2
    assert "against torch" in said
    seal = json.loads((bundle / SEAL).read_text())
    manifest = open_bundle(bundle).manifest
    assert seal["graphs"]["predictor.onnx"] == manifest.files["predictor.onnx"].sha256
    assert SEAL in manifest.files
    [parity] = seal["engines"].values()
    assert {tuple(entry["shape"][2:]) for entry in parity["graphs"]} == {(32, 32), (40, 56)}
    assert all(entry["psnr_db"] > 90 for entry in parity["graphs"])


def test_without_a_checkpoint_the_graphs_are_held_against_themselves_unoptimised(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle), *SIZES, "--no-seal"]) == 0
    assert "unoptimised" in capsys.readouterr().out
    assert not (bundle / SEAL).exists()


@pytest.mark.parametrize(
    ("file", "layer"),
    [
        ("predictor.onnx", "model.predictor.encoder.5.second"),
        ("denoiser_step.onnx", "model.denoiser.decoder.2.1.first"),
    ],
)
def test_a_wrong_layer_breaks_the_seal_and_is_named(
    bundle: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    layer: str,
) -> None:
    command = [str(bundle), "--checkpoint", str(checkpoint), "--size", "32x32"]
    assert main(command) == 0
    change(bundle, file, scale(layer, 3.0))
    capsys.readouterr()
    assert main([*command, "--bisect"]) == 1
    said = capsys.readouterr().out
    assert f"{layer} (layer " in said
    assert said.count("departs first") == 1
    assert "not sealed" in said
    assert not (bundle / SEAL).exists()
    assert SEAL not in open_bundle(bundle).manifest.files


def test_half_is_held_against_a_float32_bundle_and_its_range_is_shown(
    half_bundle: Path, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = shutil.copytree(half_bundle, tmp_path / "half")
    assert main([str(target), "--reference", str(small_bundle), *SIZES, "--bisect"]) == 0
    said = capsys.readouterr().out
    assert "of the range of float16" in said
    assert said.count("no layer of 53 departs") == 2
    ranges = json.loads((target / SEAL).read_text())["activations"]
    # 53 convolutions and 20 sums with a shortcut in each graph; the level is added in 20 places.
    assert len({(entry["graph"], entry["layer"]) for entry in ranges}) == len(ranges) > 2 * 53
    assert all(0 < entry["share"] < 0.25 for entry in ranges)


def test_half_keeps_45_db_against_torch_on_real_pictures_over_ten_steps(
    half_bundle: Path,
    checkpoint: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = shutil.copytree(half_bundle, tmp_path / "half")
    options = ("--checkpoint", str(checkpoint), "--pictures", str(photographs), "--size", "32x32")
    assert main([str(target), *options]) == 0
    said = capsys.readouterr().out
    assert "wanted: whole samplers at least 45.0 dB" in said
    assert "samplers run on 3 real pictures of 128x128" in said
    seal = json.loads((target / SEAL).read_text())
    assert (seal["reference"], seal["pictures"]) == ("torch", "3 real pictures of 128x128")
    # Once as ONNX Runtime optimises it, once with each operation rounding to half.
    assert [tolerance["psnr_db"] for tolerance in seal["tolerances"].values()] == [45.0] * 2
    samplers = [entry for parity in seal["engines"].values() for entry in parity["samplers"]]
    assert len(samplers) == 2 * 4
    assert {entry["steps"] for entry in samplers} == {10}
    assert all(entry["psnr_db"] >= 45.0 for entry in samplers)


def test_activations_beyond_half_s_range_are_outside(
    half_bundle: Path, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = shutil.copytree(half_bundle, tmp_path / "half")
    for name in ("first", "second"):
        layer = f"model.predictor.network.encoder.0.{name}"
        change(target, "predictor.onnx", scale(layer, 3e4))
    assert main([str(target), "--reference", str(small_bundle), "--size", "32x32"]) == 1
    assert "model.predictor.encoder.0.second reaches" in capsys.readouterr().out


def test_a_reduced_precision_needs_a_reference(
    half_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(half_bundle)]) == 2
    said = capsys.readouterr().err
    assert "--checkpoint" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "64"), "WIDTHxHEIGHT"),
        (("--checkpoint", "gone.safetensors"), "gone.safetensors"),
        (("--reference", "gone"), "no bundle at gone"),
        (("--pictures", "gone"), "has no readable picture"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    small_bundle: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str], message: str
) -> None:
    assert main([str(small_bundle), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1


def test_an_engine_that_computes_in_less_is_held_to_both_errors() -> None:
    sum_of_both = both(TOLERANCES["int8"], TOLERANCES["bfloat16"])
    assert sum_of_both.psnr_db == pytest.approx(-10 * np.log10(10**-3.8 + 10**-3.6))
    assert sum_of_both.max_abs is None
    typed = both(TOLERANCES["float32"], TOLERANCES["bfloat16"])
    assert typed.max_abs == pytest.approx(5.01e-2)
    assert typed.psnr_db == pytest.approx(36.0, abs=0.05)


def test_a_comparison_alone_writes_nothing_even_where_it_fails(
    bundle: Path, checkpoint: Path
) -> None:
    command = [str(bundle), "--checkpoint", str(checkpoint), "--size", "32x32"]
    assert main(command) == 0
    change(bundle, "predictor.onnx", scale("model.predictor.encoder.5.second", 3.0))
    sealed = (bundle / MANIFEST).read_bytes()
    assert main([*command, "--no-seal"]) == 1
    assert (bundle / SEAL).exists()
    assert (bundle / MANIFEST).read_bytes() == sealed


def test_the_loop_of_an_engine_is_compared_too(small_bundle: Path) -> None:
    class Looping(OnnxEngine):
        """Runs the loop itself, and forgets that the noise differs from step to step."""

        def run(self, request: Request) -> Result:
            return Result(request.images // 2, None, None, {})

    bundle = open_bundle(small_bundle)
    plain, looping = OnnxEngine(bundle), Looping(bundle)
    parity = compare(plain, looping, "x0", 8, sizes_px=((32, 32),))
    assert [entry.within_one_grey_level == 1.0 for entry in parity.samplers] == [True, False] * 2
    assert any("the engine's own loop" in text for text in parity.failures())


def test_one_sample_is_the_picture_that_the_runtime_makes(small_bundle: Path) -> None:
    from runtime.session import Session

    image = picture(40, 56)
    with Session(small_bundle) as session:
        wanted = session.deblur(image, preset="balanced", samples=1, seed=7)
        table = session.bundle.preset("balanced").table
        got = deblur(OnnxEngine(session.bundle), table, image, seed=7)
    assert np.array_equal(got, wanted)
