"""What `cmake --build` left in cpp_bindings/build; without it the tests here are skipped."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from native_library import Library

BUILD = Path(__file__).resolve().parents[2] / "cpp_bindings" / "build" / "release"
HOW = "not built; see cpp_bindings/README.md (cmake --preset release)"


@pytest.fixture(scope="session")
def library() -> Library:
    """The shared library through its C header."""
    found = sorted(BUILD.glob("lib*/**/libdvsr.so"))
    if not found:
        pytest.skip(f"the library dvsr is {HOW}")
    return Library(ctypes.CDLL(str(found[0])))


@pytest.fixture(scope="session")
def tool() -> Path:
    """The command-line tool."""
    path = BUILD / "bin" / "dvsr-deblur"
    if not path.is_file():
        pytest.skip(f"the tool dvsr-deblur is {HOW}")
    return path


@pytest.fixture(scope="session")
def tool_with_metadata(tool: Path) -> Path:
    """The same, built with what reads and writes EXIF and colour profiles."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    if "Exiv2_FOUND:INTERNAL=1" not in cache or "DVSR_WITH_EXIV2:BOOL=OFF" in cache:
        pytest.skip("the tool was built without Exiv2; see cpp_bindings/README.md")
    return tool
