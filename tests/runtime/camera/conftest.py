"""FFmpeg learns to be quiet when OpenCV first opens a video: it must be told before any test."""

from __future__ import annotations

from runtime.camera.opencv import load

load()
