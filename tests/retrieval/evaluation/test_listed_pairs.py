from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from retrieval.errors import ManifestInvalid
from retrieval.evaluation.listed_pairs import pair_figures, read_listed
from retrieval.evaluation.methods import Method

Made = Callable[..., Any]

HEADING = "file_a,file_b,same\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text(text)
    return path


def test_exactly_the_listed_pairs_are_scored_each_once(rows: Made, tmp_path: Path) -> None:
    made = rows(list("aabbcc"))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = [(0, 1, 1), (0, 1, 1), (2, 3, 1), (0, 2, 0), (1, 4, 0), (3, 5, 0), (4, 2, 0)]
    lines = [f"nih-{a}.png,nih-{b}.png,{same}\n" for a, b, same in chosen]
    listed = read_listed(written(tmp_path, HEADING + "".join(lines)), made)
    found = pair_figures(Method("m", vectors), listed, made, rounds=40)
    scores = [float(vectors[a] @ vectors[b]) for a, b, _ in chosen]
    assert found.auc == pytest.approx(roc_auc_score([same for _, _, same in chosen], scores))
    assert (found.same_pairs, found.different_pairs, found.patients, found.contradicted) == (3, 4, 3, 0)
    assert np.isnan(found.tpr_at_fpr_1e3)
    assert found.auc_low <= found.auc <= found.auc_high


def test_the_list_is_believed_and_contradictions_are_counted(rows: Made, tmp_path: Path) -> None:
    listed = read_listed(
        written(tmp_path, HEADING + "nih-0.png,nih-1.png,yes\nnih-0.png,nih-2.png,no\n"), rows(list("abb"))
    )
    found = pair_figures(Method("m", np.array([[0], [0], [255]], dtype=np.uint8)), listed, rows(list("abb")), rounds=20)
    assert found.contradicted == 1
    assert found.auc == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_a,same\nx,1\n", "lacks the column 'file_b'"),
        (HEADING + "nih-0.png,nih-1.png,maybe\n", "must be 1 or 0"),
        (HEADING, "holds 0 pairs"),
        (HEADING + "nih-0.png\n", "must be 1 or 0"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(rows: Made, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestInvalid, match=said):
        read_listed(written(tmp_path, text), rows(list("ab")))


def test_a_missing_list_is_one_sentence(rows: Made, tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="cannot be read"):
        read_listed(tmp_path / "none.csv", rows(list("ab")))
