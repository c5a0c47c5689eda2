from __future__ import annotations

from pathlib import Path

import pytest

from runtime.bench.cases import Plan, Work
from runtime.bench.machine import Machine, Software
from runtime.bench.pictures import make_pictures
from runtime.bench.quality import psnr_db
from runtime.bench.runner import Circumstances, Runner
from runtime.bench.subjects import EngineSubject, Options, PeerSubject
from runtime.bundle import open_bundle
from runtime.errors import OptionError
from train.checkpoint import load_tensors, save_tensors

WORK = Work(width_px=36, height_px=32, steps=2, samples=2, batch=1)


@pytest.mark.parametrize(
    ("name", "least_db"),
    # bfloat16 has 8 bits: one part in 256 of a value is half a grey level, through 36 blocks.
    [("torch-eager", 55.0), ("torch-bf16", 30.0)],
)
def test_a_torch_peer_makes_the_engines_picture(
    name: str, least_db: float, small_bundle: Path, checkpoint: Path
) -> None:
    options = Options(checkpoint=checkpoint)
    engine = EngineSubject("onnx-cpu", small_bundle, options)
    peer = PeerSubject(name, engine.bundle, options)
    images = make_pictures(1, WORK.height_px, WORK.width_px)
    assert psnr_db(engine.deblur(images, WORK), peer.deblur(images, WORK)) > least_db
    assert "PyTorch" in peer.description
    peer.timed(WORK).call()


def test_a_checkpoint_with_other_weights_is_refused(
    small_bundle: Path, checkpoint: Path, tmp_path: Path
) -> None:
    tensors, card = load_tensors(checkpoint)
    # One unit of the model's range brightens every picture by half of all grey levels.
    tensors["predictor.head.bias"] += 1.0
    save_tensors(tmp_path / "other.safetensors", tensors, card)
    options = Options(checkpoint=tmp_path / "other.safetensors")
    engine = EngineSubject("onnx-cpu", small_bundle, options)
    peer = PeerSubject("torch-eager", engine.bundle, options)
    shared = Circumstances(
        Plan(runs=1), options, Software("", None, "", {}), Machine("", 1, None, "")
    )
    with pytest.raises(OptionError, match="same weights"):
        Runner([engine, peer], shared).run([WORK], None, set())


def test_a_checkpoint_of_another_size_rule_is_refused(checkpoint: Path) -> None:
    with pytest.raises(OptionError, match="exported from"):
        PeerSubject("torch-eager", open_bundle(), Options(checkpoint=checkpoint))
