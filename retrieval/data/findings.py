"""Findings as the classification layer learns them: a vector of 0, 1 and unknown."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FINDINGS = ("pneumonia", "bacterial", "viral", "covid19")

_UNKNOWN = float("nan")
_NOTHING = (_UNKNOWN,) * len(FINDINGS)
_VECTORS = {
    "no_finding": (0.0, 0.0, 0.0, 0.0),
    "pneumonia": (1.0, _UNKNOWN, _UNKNOWN, _UNKNOWN),
    "pneumonia_bacteria": (1.0, 1.0, 0.0, 0.0),
    "pneumonia_virus": (1.0, 0.0, 1.0, _UNKNOWN),
    "covid19": (1.0, 0.0, 1.0, 1.0),
}


def findings_vector(finding: str) -> npt.NDArray[np.float32]:
    """Labels of one image: float32 (4,), 1 present, 0 absent, NaN not known.

    Args:
        finding: one of the manifest's words, or labels of ChestX-ray14 or CheXpert joined by `|`, of which `No Finding`
            and `Pneumonia` are known. A word that is not known says nothing: an image labelled `Effusion` may show a
            pneumonia that nobody wrote down. Labels that contradict each other say nothing either.
    """
    known = [_VECTORS[word] for word in map(_word, finding.split("|")) if word in _VECTORS]
    said = [{value for value in values if not math.isnan(value)} for values in zip(*known, strict=True)]
    if not said or any(len(values) > 1 for values in said):
        return np.array(_NOTHING, dtype=np.float32)
    return np.array([values.pop() if values else _UNKNOWN for values in said], dtype=np.float32)


def _word(label: str) -> str:
    return label.strip().lower().replace(" ", "_")
