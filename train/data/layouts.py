"""Where the pictures of a data set lie: which file is blurred, which is its sharp twin.

Read are the layouts in which people have the public sets on disk, and plain folders:

    plain      blur/ beside sharp/ (or input/ beside target/), equal names
    sharp      a folder of sharp pictures; blur is made on the fly
    GoPro      train|test/<scene>/{blur,blur_gamma,sharp}        Nah et al., CVPR 2017
    HIDE       train|test/[<part>/]*.png beside GT/*.png         Shen et al., ICCV 2019
    REDS       train_sharp/<clip>/ beside train_blur/<clip>/     Nah et al., CVPRW 2019
    RealBlur   a list file, "sharp blurred" on each line         Rim et al., ECCV 2020
    frames     consecutive sharp frames of a fast camera, in a folder or one for each clip: blur is
               the mean of neighbours. Cannot be told from "sharp", so it must be asked for
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from runtime.errors import DataError, OptionError
from runtime.images import SUFFIXES

Split = Literal["train", "val", "test"]
Layout = Literal["auto", "frames"]

# At 240 frames a second, 7 to 13 frames are an exposure of 29 to 54 ms; so was the GoPro set made.
FEWEST_FRAMES, MOST_FRAMES = 7, 13

# EXIF: values from 5 on are turned by a quarter.
_ORIENTATION, _FIRST_TURNED = 0x0112, 5
_PLAIN = (("blur", "sharp"), ("input", "target"))


@dataclass(frozen=True)
class Pictures:
    """Files to train on. ``blurred`` is None where blur is to be made from ``sharp``.

    ``layout`` says in words how the folder was read. Of consecutive frames, ``windows`` holds for
    each sharp one the frames around it, an odd number, itself in the middle.
    """

    sharp: tuple[Path, ...]
    blurred: tuple[Path, ...] | None = None
    layout: str = "given files"
    windows: tuple[tuple[Path, ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.sharp)


def find_pictures(
    folder: Path,
    only: Iterable[str] | None = None,
    *,
    split: Split = "train",
    blur: str | None = None,
    layout: Layout = "auto",
) -> Pictures:
    """Pictures of ``folder`` in any layout of this module; a RealBlur list is a file.

    ``only`` keeps the sharp pictures of these names, with their twins. ``split`` chooses among the
    parts of a data set; ``blur`` among its kinds of blur, such as "blur_gamma" of GoPro,
    "blur_comp" of REDS, "J" or "R" of RealBlur. Raises DataError for a missing or empty folder, an
    unknown part, a name of ``only`` that is not there, and a picture without its twin.
    """
    pictures = _find(folder, split, blur, layout)
    return pictures if only is None else _keep_named(pictures, set(only), folder)


def _find(folder: Path, split: Split, blur: str | None, layout: Layout) -> Pictures:
    if folder.is_file() and layout == "auto":
        _check_no_kind(blur, folder)
        return _read_list(folder)
    if not folder.is_dir():
        raise DataError(
            f"no folder {folder}; give a folder of sharp pictures, or of blur/ and sharp/"
        )
    for read in _READERS if layout == "auto" else ():
        pictures = read(folder, split, blur)
        if pictures is not None:
            return pictures
    _check_no_kind(blur, folder)
    if layout == "frames":
        return _find_frames(folder)
    return Pictures(_list_images(folder), layout="sharp pictures")


def _keep_named(pictures: Pictures, wanted: set[str], folder: Path) -> Pictures:
    missing = sorted(wanted - {path.name for path in pictures.sharp})
    if missing:
        raise DataError(f"{folder} lacks {len(missing)} listed pictures, first {missing[0]}")
    return _take(pictures, [i for i, path in enumerate(pictures.sharp) if path.name in wanted])


def take_evenly(pictures: Pictures, wanted: int | None) -> Pictures:
    """``wanted`` pictures spread evenly over the list (None: all); raises OptionError."""
    if wanted is None:
        return pictures
    if not 1 <= wanted <= len(pictures):
        raise OptionError(f"got {wanted} pictures; wanted are 1 to {len(pictures)}")
    return _take(pictures, [index * len(pictures) // wanted for index in range(wanted)])


def _take(pictures: Pictures, which: Sequence[int]) -> Pictures:
    blurred, windows = pictures.blurred, pictures.windows
    return replace(
        pictures,
        sharp=tuple(pictures.sharp[index] for index in which),
        blurred=None if blurred is None else tuple(blurred[index] for index in which),
        windows=None if windows is None else tuple(windows[index] for index in which),
    )


def check_sizes(pictures: Pictures) -> None:
    """Raise DataError for the first pair of two sizes, from the files' headers alone.

    Files that cannot be read are left to training, which names and skips them. Does nothing
    without pairs, or where Pillow is not installed: then training meets such a pair later.
    """
    if pictures.blurred is None or find_spec("PIL") is None:
        return
    for blurred, sharp in zip(pictures.blurred, pictures.sharp, strict=True):
        first, second = _size_px(blurred), _size_px(sharp)
        if first and second and first != second:
            raise DataError(to_size_message(blurred, sharp, (first, second)))


def to_size_message(first: Path, second: Path, sizes: Iterable[tuple[int, ...]]) -> str:
    """What is said of two files that belong together and differ in size, (width, height) in px."""
    one, other = (f"{size[0]}x{size[1]}" for size in sizes)
    return f"{first} is {one} but {second} is {other}; both must have one size"


def _size_px(path: Path) -> tuple[int, int] | None:
    """(width, height) of the upright picture, None where the file cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
            return (image.height, image.width) if turned else (image.width, image.height)
    except (OSError, ValueError, SyntaxError):
        return None


def _check_no_kind(blur: str | None, where: Path) -> None:
    if blur is not None:
        raise DataError(f"got blur '{blur}', but {where} has one kind only; leave the option out")


def _find_frames(folder: Path) -> Pictures:
    """Frames with at least three neighbours on either side, of ``folder`` or of each inner one."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    clips = [_list_images(clip) for clip in inner] if inner else [_list_images(folder)]
    least, most = FEWEST_FRAMES // 2, MOST_FRAMES // 2
    windows = []
    for frames in clips:
        for middle in range(least, len(frames) - least):
            reach = min(most, middle, len(frames) - 1 - middle)
            windows.append(frames[middle - reach : middle + reach + 1])
    if not windows:
        raise DataError(
            f"{folder} holds no {FEWEST_FRAMES} consecutive frames; give all frames of a clip"
        )
    sharp = tuple(window[len(window) // 2] for window in windows)
    layout = f"{len(clips)} clips of frames, {FEWEST_FRAMES} to {MOST_FRAMES} averaged"
    return Pictures(sharp, layout=layout, windows=tuple(windows))


def _find_plain(folder: Path, _: Split, blur: str | None) -> Pictures | None:
    for blurred, sharp in _PLAIN:
        inner = folder / (blurred if blur is None else blur)
        if (folder / sharp).is_dir() and inner.is_dir():
            pairs = _match(folder, _list_images(inner), _list_images(folder / sharp))
            return _to_pictures(pairs, f"{inner.name}/ beside {sharp}/")
    return None


def _find_gopro(folder: Path, split: Split, blur: str | None) -> Pictures | None:
    root = _part(folder, split)
    scenes = sorted(path.parent for path in root.glob("*/sharp") if path.is_dir())
    if not scenes:
        return None
    kind = blur or "blur"
    pairs: list[tuple[Path, Path]] = []
    for scene in scenes:
        if not (scene / kind).is_dir():
            raise DataError(
                f"{scene} has no {kind}/ beside sharp/; choose another kind of blur or split"
            )
        pairs += _match(scene, _list_images(scene / kind), _list_images(scene / "sharp"))
    return _to_pictures(pairs, f"GoPro {root.name}, {len(scenes)} scenes, {kind}")


def _find_hide(folder: Path, split: Split, blur: str | None) -> Pictures | None:
    if not (folder / "GT").is_dir():
        return None
    _check_no_kind(blur, folder)
    root = folder / split
    if not root.is_dir():
        raise DataError(f"{folder} has GT/ but no {split}/; HIDE has the splits train and test")
    sharp = {path.stem: path for path in _list_images(folder / "GT")}
    blurred = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not blurred:
        raise DataError(f"{root} holds no pictures; wanted are {', '.join(SUFFIXES)}")
    # GT/ holds the twins of both splits, so only the blurred side must be complete.
    alone = [path for path in blurred if path.stem not in sharp]
    if alone:
        raise DataError(f"{alone[0]} has no twin in {folder / 'GT'}; fetch the data set anew")
    return _to_pictures([(path, sharp[path.stem]) for path in blurred], f"HIDE {split}")


def _find_reds(folder: Path, split: Split, blur: str | None) -> Pictures | None:
    root = _part(folder, split)
    sharp, blurred = root / f"{split}_sharp", root / f"{split}_{blur or 'blur'}"
    if not sharp.is_dir():
        return None
    if not blurred.is_dir():
        raise DataError(f"{root} has {sharp.name}/ but no {blurred.name}/; fetch that part too")
    clips = sorted(path for path in sharp.iterdir() if path.is_dir())
    if not clips:
        raise DataError(f"{sharp} holds no clips; wanted are folders such as {sharp}/000")
    pairs: list[tuple[Path, Path]] = []
    for clip in clips:
        if not (blurred / clip.name).is_dir():
            raise DataError(f"clip {clip.name} of {sharp} is missing in {blurred}")
        pairs += _match(clip, _list_images(blurred / clip.name), _list_images(clip))
    return _to_pictures(pairs, f"REDS {split}, {len(clips)} clips, {blurred.name}")


def _find_realblur(folder: Path, split: Split, blur: str | None) -> Pictures | None:
    lists = sorted(folder.glob(f"RealBlur_{blur or '*'}_{split}_list.txt"))
    if not lists:
        return None
    if len(lists) > 1:
        raise DataError(
            f"{folder} holds {lists[0].name} and {lists[1].name}; "
            "give one of the files, or choose the blur J or R"
        )
    return _read_list(lists[0])


def _read_list(path: Path) -> Pictures:
    """Pairs of a list file: on each line the sharp, then the blurred picture, beside the list."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} as a list of pictures: {error}") from error
    pairs: list[tuple[Path, Path]] = []
    for number, line in enumerate(lines, 1):
        names = line.split()
        if not names:
            continue
        if len(names) != 2:
            raise DataError(
                f"line {number} of {path} has {len(names)} names; wanted are two: sharp, blurred"
            )
        sharp, blurred = (path.parent / name for name in names)
        for picture in (sharp, blurred):
            if not picture.is_file():
                raise DataError(f"line {number} of {path} names {picture}, which is not there")
        pairs.append((blurred, sharp))
    if not pairs:
        raise DataError(f"{path} lists no pictures; wanted are lines of two names: sharp, blurred")
    return _to_pictures(pairs, f"list {path.name}")


_READERS: tuple[Callable[[Path, Split, str | None], Pictures | None], ...] = (
    _find_plain,
    _find_hide,
    _find_reds,
    _find_realblur,
    _find_gopro,
)


def _part(folder: Path, split: Split) -> Path:
    """The folder of one split, whether ``folder`` is the whole data set or that part of it."""
    return folder / split if (folder / split).is_dir() else folder


def _match(folder: Path, blurred: Iterable[Path], sharp: Iterable[Path]) -> list[tuple[Path, Path]]:
    """(blurred, sharp) of equal stems; raises DataError for a picture that stands alone."""
    sharp_by_name = {path.stem: path for path in sharp}
    blurred_by_name = {path.stem: path for path in blurred}
    alone = sorted(set(sharp_by_name) ^ set(blurred_by_name))
    if alone:
        raise DataError(
            f"{folder}: {alone[0]} stands in only one of blur/ and sharp/; "
            "every picture needs its twin of the same name"
        )
    return [(blurred_by_name[name], sharp_by_name[name]) for name in sorted(sharp_by_name)]


def _to_pictures(pairs: list[tuple[Path, Path]], layout: str) -> Pictures:
    blurred, sharp = zip(*pairs, strict=True)
    return Pictures(sharp, blurred, layout)


def _list_images(folder: Path) -> tuple[Path, ...]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} holds no pictures; wanted are {', '.join(SUFFIXES)}")
    return tuple(found)
