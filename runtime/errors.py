"""The exceptions that this toolkit raises: one tree, so that one ``except DvsrError`` is enough.

Each message says what came, what is wanted, where, and what to do.
"""

from __future__ import annotations


class DvsrError(Exception):
    """Base of every error that is the input's or the environment's fault, not a bug of ours."""


class ImageError(DvsrError):
    """A picture that cannot be used: wrong type, shape, file format, or a broken file."""


class OutputError(DvsrError):
    """A file that cannot be written where it was asked for."""


class OptionError(DvsrError):
    """An option outside its range, or two that contradict each other."""


class BundleError(DvsrError):
    """A bundle that is missing, damaged, too new, or that points outside itself."""


class EngineError(DvsrError):
    """An engine that is unknown, not installed, or that failed to run."""


class DataError(DvsrError):
    """A folder of training or validation pictures that cannot be used."""


class CheckpointError(DvsrError):
    """A checkpoint that is missing, damaged, or of another model."""


class MissingExtraError(DvsrError):
    """A library that only some commands need and that is not installed."""
