from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.batch.plan import plan_batch
from runtime.errors import ImageError, OptionError, OutputError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a tree of files that are named like pictures."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.jpg", "in/a.PNG", "in/deep/er/a.tif", "in/notes.txt", "in/.hidden/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def targets(*inputs: str, output: str = "out") -> dict[str, str]:
    """Pictures and their targets, as text relative to the working directory."""
    jobs = plan_batch(inputs, output).jobs
    return {job.picture.as_posix(): job.target.as_posix() for job in jobs}


def test_a_folder_is_read_with_its_tree(folder: Path) -> None:
    assert targets("in") == {
        "in/a.PNG": "out/a.png",
        "in/b.jpg": "out/b.png",
        "in/deep/er/a.tif": "out/deep/er/a.png",
    }


def test_the_output_folder_is_created(folder: Path) -> None:
    batch = plan_batch(["in"], "new/out")
    assert batch.folder == Path("new/out")
    assert (folder / "new/out").is_dir()


def test_a_pattern_keeps_the_tree_below_its_fixed_part(folder: Path) -> None:
    assert targets("in/**/a.*") == {
        "in/a.PNG": "out/a.png",
        "in/deep/er/a.tif": "out/deep/er/a.png",
    }


def test_a_pattern_takes_pictures_only(folder: Path) -> None:
    assert list(targets("in/*")) == ["in/a.PNG", "in/b.jpg"]


def test_brackets_in_the_name_of_a_file_are_no_pattern(folder: Path) -> None:
    (folder / "a[1].png").touch()
    assert targets("a[1].png") == {"a[1].png": "out/a[1].png"}


def test_several_folders_keep_their_names(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "b.jpg").touch()
    assert targets("in", "more")["more/b.jpg"] == "out/more/b.png"


def test_a_picture_named_twice_is_one_job(folder: Path) -> None:
    assert len(targets("in/b.jpg", "in")) == 3


def test_one_picture_becomes_the_file_that_is_named(folder: Path) -> None:
    batch = plan_batch(["in/b.jpg"], "sharp.jpg")
    assert (batch.jobs[0].target, batch.folder) == (Path("sharp.jpg"), None)


@pytest.mark.parametrize("output", ["out", "out.v2/"])
def test_one_picture_goes_into_a_folder_that_is_named(folder: Path, output: str) -> None:
    assert plan_batch(["in/b.jpg"], output).jobs[0].target == Path(output) / "b.png"


def test_what_an_earlier_run_wrote_is_no_input(folder: Path) -> None:
    (folder / "in" / "out").mkdir()
    (folder / "in" / "out" / "a.png").touch()
    assert "in/out/a.png" not in targets("in", output="in/out")


def test_views_are_named_after_the_target(folder: Path) -> None:
    job = plan_batch(["in/b.jpg"], "s.v2.jpg", comparison=True, std=True).jobs[0]
    assert [path.name for path in job.outputs] == ["s.v2.jpg", "s.v2.compare.png", "s.v2.std.png"]


@pytest.mark.parametrize(
    ("inputs", "output", "cause"),
    [
        (["in", "in/deep/er/a.tif"], "out.png", "folder"),
        (["in"], "in", "folder of its own"),
        (["in/deep"], "in", "folder of its own"),
        (["in/b.jpg"], "in/b.jpg", "one of the pictures"),
        (["in/a.PNG", "in/deep/er/a.tif"], "out", "both become"),
        (["nothing/*.png"], "out", "no pictures match"),
        (["empty"], "out", "no pictures in"),
        (["in/gone.png"], "out", "check the name"),
        (["in/b.jpg"], "out.txt", r"\.txt"),
        (["in/b.jpg"], "missing/out.png", "missing"),
        (["in"], "in/notes.txt", "folder"),
    ],
)
def test_what_cannot_be_is_refused(
    folder: Path, inputs: list[str], output: str, cause: str
) -> None:
    (folder / "empty").mkdir()
    with pytest.raises((OptionError, ImageError), match=cause):
        plan_batch(inputs, output)


def test_a_picture_that_is_named_like_a_view_is_refused(folder: Path) -> None:
    (folder / "in" / "b.std.jpg").touch()
    with pytest.raises(OptionError, match=r"b\.std\.png"):
        plan_batch(["in"], "out", std=True)


def test_a_name_that_the_system_refuses_to_look_up_is_an_error_of_the_picture(
    folder: Path,
) -> None:
    with pytest.raises(ImageError, match=r"cannot look at x+: File name too long"):
        plan_batch(["x" * 300], "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_refused(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="permission"):
        plan_batch(["in"], "locked")


def test_a_folder_that_cannot_be_created_is_refused(folder: Path) -> None:
    with pytest.raises(OutputError, match="cannot create"):
        plan_batch(["in"], "in/notes.txt/out")
