"""How the folders of public data sets are read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.errors import DataError, OptionError
from train.data.layouts import Pictures, check_sizes, find_pictures, take_evenly


def make_files(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def named_pairs(pictures: Pictures, root: Path) -> list[tuple[str, str]]:
    assert pictures.blurred is not None
    pairs = zip(pictures.blurred, pictures.sharp, strict=True)
    return [(b.relative_to(root).as_posix(), s.relative_to(root).as_posix()) for b, s in pairs]


GOPRO = [
    f"{split}/{scene}/{kind}/{frame}.png"
    for split, scene in (("train", "GOPR1"), ("train", "GOPR2"), ("test", "GOPR3"))
    for kind in ("blur", "blur_gamma", "sharp")
    for frame in ("000001", "000002")
]


def test_gopro_pairs_each_scene_of_the_split(tmp_path: Path) -> None:
    pictures = find_pictures(make_files(tmp_path, *GOPRO))
    assert named_pairs(pictures, tmp_path)[1:3] == [
        ("train/GOPR1/blur/000002.png", "train/GOPR1/sharp/000002.png"),
        ("train/GOPR2/blur/000001.png", "train/GOPR2/sharp/000001.png"),
    ]
    assert pictures.layout == "GoPro train, 2 scenes, blur"


def test_gopro_can_be_given_as_the_folder_of_one_split(tmp_path: Path) -> None:
    pictures = find_pictures(make_files(tmp_path, *GOPRO) / "test")
    assert len(pictures) == 2


def test_gopro_offers_the_blur_made_with_a_camera_curve(tmp_path: Path) -> None:
    pictures = find_pictures(make_files(tmp_path, *GOPRO), split="test", blur="blur_gamma")
    assert named_pairs(pictures, tmp_path)[0][0] == "test/GOPR3/blur_gamma/000001.png"


def test_a_gopro_scene_without_the_asked_blur_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"GOPR1 has no blur_lens/"):
        find_pictures(make_files(tmp_path, *GOPRO), blur="blur_lens")


def test_hide_pairs_close_ups_and_long_shots_with_one_folder_of_sharp_ones(tmp_path: Path) -> None:
    root = make_files(
        tmp_path, "train/1.png", "test/test-close-ups/2.png", "test/test-long-shot/3.png",
        "GT/1.png", "GT/2.png", "GT/3.png",
    )  # fmt: skip
    assert named_pairs(find_pictures(root, split="test"), root) == [
        ("test/test-close-ups/2.png", "GT/2.png"),
        ("test/test-long-shot/3.png", "GT/3.png"),
    ]
    assert named_pairs(find_pictures(root), root) == [("train/1.png", "GT/1.png")]


def test_a_hide_picture_without_twin_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train/2\.png has no twin"):
        find_pictures(make_files(tmp_path, "train/1.png", "train/2.png", "GT/1.png"))


@pytest.mark.parametrize("given", ["", "train"])
def test_reds_pairs_frames_clip_by_clip(tmp_path: Path, given: str) -> None:
    root = make_files(
        tmp_path, "train/train_sharp/000/1.png", "train/train_sharp/001/1.png",
        "train/train_blur/000/1.png", "train/train_blur/001/1.png",
    )  # fmt: skip
    pictures = find_pictures(root / given)
    assert named_pairs(pictures, root / "train") == [
        ("train_blur/000/1.png", "train_sharp/000/1.png"),
        ("train_blur/001/1.png", "train_sharp/001/1.png"),
    ]


def test_a_missing_reds_clip_is_named(tmp_path: Path) -> None:
    root = make_files(
        tmp_path, "val/val_sharp/000/1.png", "val/val_sharp/001/1.png", "val/val_blur/000/1.png"
    )
    with pytest.raises(DataError, match="clip 001"):
        find_pictures(root, split="val")


REALBLUR = "RealBlur-J/scene1/gt/gt_1.png RealBlur-J/scene1/blur/blur_1.png\n"


@pytest.mark.parametrize("given", ["", "RealBlur_J_train_list.txt"])
def test_realblur_follows_its_list_file(tmp_path: Path, given: str) -> None:
    root = make_files(tmp_path, *REALBLUR.split())
    (root / "RealBlur_J_train_list.txt").write_text(REALBLUR + "\n")
    assert named_pairs(find_pictures(root / given), root) == [
        ("RealBlur-J/scene1/blur/blur_1.png", "RealBlur-J/scene1/gt/gt_1.png")
    ]


def test_two_realblur_lists_need_a_choice(tmp_path: Path) -> None:
    root = make_files(tmp_path, *REALBLUR.split())
    for kind in "JR":
        (root / f"RealBlur_{kind}_train_list.txt").write_text(REALBLUR)
    with pytest.raises(DataError, match="choose the blur J or R"):
        find_pictures(root)
    assert len(find_pictures(root, blur="R")) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "lists no pictures"),
        ("one two three", "line 1 .* has 3 names"),
        ("gone.png away.png", "line 1 .* names .*gone.png, which is not there"),
    ],
)
def test_a_bad_list_names_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=complaint):
        find_pictures(tmp_path / "list.txt")


@pytest.mark.parametrize("folders", [("blur", "sharp"), ("input", "target")])
def test_plain_folders_pair_equal_names_of_any_suffix(
    tmp_path: Path, folders: tuple[str, str]
) -> None:
    blurred, sharp = folders
    root = make_files(tmp_path, f"{blurred}/a.jpg", f"{sharp}/a.png")
    assert named_pairs(find_pictures(root), root) == [(f"{blurred}/a.jpg", f"{sharp}/a.png")]


def test_a_picture_alone_in_plain_folders_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="b stands in only one"):
        find_pictures(make_files(tmp_path, "blur/a.png", "sharp/a.png", "sharp/b.png"))


def test_a_folder_of_pictures_is_taken_as_sharp(tmp_path: Path) -> None:
    pictures = find_pictures(make_files(tmp_path, "b.jpg", "a.png", "notes.txt"))
    assert [path.name for path in pictures.sharp] == ["a.png", "b.jpg"]
    assert pictures.blurred is None


def test_only_keeps_the_listed_pictures_and_misses_none(tmp_path: Path) -> None:
    root = make_files(tmp_path, "a.png", "b.png")
    assert find_pictures(root, ["b.png"]).sharp == (root / "b.png",)
    with pytest.raises(DataError, match=r"lacks 1 listed pictures, first c\.png"):
        find_pictures(root, ["b.png", "c.png"])


def test_only_keeps_the_listed_pairs_too(tmp_path: Path) -> None:
    root = make_files(tmp_path, *(f"{side}/{n}.png" for side in ("blur", "sharp") for n in "abc"))
    assert named_pairs(find_pictures(root, ["c.png"]), root) == [("blur/c.png", "sharp/c.png")]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_pair_of_two_sizes_is_found_by_its_headers(tmp_path: Path, suffix: str) -> None:
    for side, width in (("blur", 8), ("sharp", 9)):
        (tmp_path / side).mkdir()
        for name, extra in (("a", 0), ("b", width)):
            picture = np.zeros((4, 8 + extra, 3), np.uint8)
            cv2.imwrite(str(tmp_path / side / f"{name}.{suffix}"), picture)
    pictures = find_pictures(tmp_path)
    check_sizes(find_pictures(tmp_path, [f"a.{suffix}"]))
    with pytest.raises(DataError, match=r"blur/b\.\w+ is 16x4 but .*sharp/b\.\w+ is 17x4"):
        check_sizes(pictures)


def test_files_that_are_no_pictures_are_left_to_training(tmp_path: Path) -> None:
    check_sizes(find_pictures(make_files(tmp_path, "blur/a.png", "sharp/a.png")))


def test_a_kind_of_blur_makes_no_sense_for_sharp_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave the option out"):
        find_pictures(make_files(tmp_path, "a.png"), blur="blur_gamma")


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_missing_or_empty_folder_says_what_is_wanted(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="pictures"):
        find_pictures(tmp_path / name)


def test_fewer_pictures_are_spread_over_the_folder(pairs: Path) -> None:
    taken = take_evenly(find_pictures(pairs), 2)
    assert [path.name for path in taken.sharp] == ["left_0.png", "left_1.png"]
    with pytest.raises(OptionError, match="1 to 3"):
        take_evenly(find_pictures(pairs), 4)
