"""Findings as the classification layer learns them: a vector of 0, 1 and unknown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FINDINGS = ("pneumonia", "bacterial", "viral", "covid19")

_UNKNOWN = float("nan")
_VECTORS = {
    "no_finding": (0.0, 0.0, 0.0, 0.0),
    "pneumonia": (1.0, _UNKNOWN, _UNKNOWN, _UNKNOWN),
    "pneumonia_bacteria": (1.0, 1.0, 0.0, 0.0),
    "pneumonia_virus": (1.0, 0.0, 1.0, _UNKNOWN),
    "covid19": (1.0, 0.0, 1.0, 1.0),
}


def findings_vector(finding: str) -> npt.NDArray[np.float32]:
    """Labels of one image: float32 (4,), 1 present, 0 absent, NaN not known (so also for a word not known here)."""
    return np.array(_VECTORS.get(finding, (_UNKNOWN,) * len(FINDINGS)), dtype=np.float32)
