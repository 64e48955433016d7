from __future__ import annotations

import numpy as np

from retrieval.data.findings import FINDINGS, findings_vector


def test_pneumonia_of_unknown_cause_leaves_the_cause_open() -> None:
    vector = findings_vector("pneumonia")
    assert vector[FINDINGS.index("pneumonia")] == 1
    assert np.isnan(vector[FINDINGS.index("bacterial")])


def test_bacterial_is_not_viral() -> None:
    vector = findings_vector("pneumonia_bacteria")
    assert (vector[FINDINGS.index("bacterial")], vector[FINDINGS.index("viral")]) == (1, 0)


def test_words_not_known_say_nothing() -> None:
    assert np.isnan(findings_vector("todo")).all()
