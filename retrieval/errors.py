"""Errors of the recognition part; each message is one plain sentence that says what to do."""

from __future__ import annotations


class RetrievalError(Exception):
    """Base of every error raised by `retrieval`."""


class ImageNotUsable(RetrievalError):
    """The array handed over is no grey image (wrong rank, empty, or not finite)."""


class ManifestInvalid(RetrievalError):
    """The list of training images is unreadable or breaks a rule (a patient in two splits, a missing file)."""


class CacheNotUsable(RetrievalError):
    """The folder for prepared images cannot be written, or its disk is too full."""


class WeightsNotUsable(RetrievalError):
    """A weight file or its card is missing, or does not fit the network it names."""


class DeviceFailed(RetrievalError):
    """The GPU broke down or ran out of memory: the fault of no image; only a new process can use it again."""


class ConfigInvalid(RetrievalError):
    """A training configuration holds a value that cannot be used."""


class CheckpointInvalid(RetrievalError):
    """A training checkpoint belongs to another configuration."""


class TrainingDiverged(RetrievalError):
    """The loss or its gradient is no longer a finite number; the text names the step and what to change."""


class CodeLengthMismatch(RetrievalError):
    """Two hash codes of different length were compared: they come from different networks."""


class CalibrationInvalid(RetrievalError):
    """A calibration file is missing, malformed, or belongs to another network."""


class IndexInputInvalid(RetrievalError):
    """What was handed to an index does not fit it: another dimension, a repeated id, a vector without direction."""


class IndexUnavailable(RetrievalError):
    """The index runs elsewhere and cannot be reached, or its package is not installed; the fault of no image."""


class SnapshotInvalid(RetrievalError):
    """A stored index is torn, incomplete, or belongs to another network or kind of index."""


class EvidenceInvalid(RetrievalError):
    """Evidence or rates for a verdict hold impossible values."""


class TooManyPairs(RetrievalError):
    """Two collections have so many pairs above the threshold that it separates nobody."""


class AuditImpossible(RetrievalError):
    """A gallery cannot be compared with itself: its parts do not fit each other, or its calibration does not fit it."""


class ResultsInvalid(RetrievalError):
    """A folder does not hold the figures of a comparison."""
