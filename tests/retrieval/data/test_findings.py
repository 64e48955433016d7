from __future__ import annotations

import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("No Finding", [0, 0, 0, 0]),
        ("Pneumonia", [1, np.nan, np.nan, np.nan]),
        ("Effusion|Pneumonia", [1, np.nan, np.nan, np.nan]),
        ("No Finding|Support Devices", [0, 0, 0, 0]),
        ("Effusion|Infiltration", [np.nan] * 4),
        ("No Finding|Pneumonia", [np.nan] * 4),
        ("", [np.nan] * 4),
    ],
)
def test_labels_of_the_public_sets_say_what_they_mean_and_no_more(labels: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(findings_vector(labels), np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("no_finding", [0, 0, 0, 0]),
        ("pneumonia", [1, np.nan, np.nan, np.nan]),
        ("pneumonia_bacteria", [1, 1, 0, 0]),
        ("pneumonia_virus", [1, 0, 1, np.nan]),
        ("covid19", [1, 0, 1, 1]),
    ],
)
def test_the_manifest_s_own_words_mean_what_the_shipped_weights_learned(word: str, expected: list[float]) -> None:
    assert FINDINGS == ("pneumonia", "bacterial", "viral", "covid19")
    np.testing.assert_array_equal(findings_vector(word), np.array(expected, np.float32))
