from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.bench.hashing.labels import labels_of, learnable_findings, sharing, training_rows
from retrieval.data.manifest import ImageRow, Split, write_manifest
from retrieval.errors import ManifestInvalid


def row(number: int, dataset: str, finding: str, split: Split = Split.TRAIN, view: str = "PA") -> ImageRow:
    return ImageRow(Path(f"/{number}.png"), f"{number}.png", dataset, f"{dataset}:{number}", split, finding, view)


ROWS = [
    row(0, "one", "Effusion|Mass"),
    row(1, "one", "Mass"),
    row(2, "one", "no_finding"),
    row(3, "two", "mass, left"),
    row(4, "two", "No_Finding"),
]


def test_words_that_a_dataset_does_not_use_are_unknown_of_its_images() -> None:
    labels = labels_of(ROWS)
    assert labels.names == ("effusion", "left", "mass", "no_finding")
    nan = np.nan
    expected = [[1, nan, 1, 0], [0, nan, 1, 0], [0, nan, 0, 1], [nan, 1, 1, 0], [nan, 0, 0, 1]]
    assert np.array_equal(labels.table, np.array(expected, np.float32), equal_nan=True)


def test_images_are_similar_if_they_share_a_finding_and_dissimilar_only_by_what_is_known_of_both() -> None:
    nan = float("nan")
    labels = torch.tensor([[1, 1, nan], [0, 1, nan], [1, 0, nan], [nan, 0, 1], [nan, nan, nan]])
    similar, dissimilar = sharing(labels)
    assert similar[0].tolist() == [True, True, True, False, False]
    assert dissimilar[0].tolist() == [False, False, False, True, False]
    assert dissimilar[1].tolist() == [False, False, True, True, False]
    # Of images 2 and 3 only the second finding is known of both, and neither has it.
    assert not similar[2, 3]
    assert not dissimilar[2, 3]
    assert not dissimilar[4].any()
    assert torch.equal(similar, similar.T)
    assert torch.equal(dissimilar, dissimilar.T)


def test_only_datasets_with_two_findings_in_training_are_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    others = [row(5, "three", "mass"), row(6, "three", "effusion", Split.TEST), row(7, "four", "")]
    write_manifest(path, [*ROWS, *others])
    assert learnable_findings(path, ()) == ("one", "two")
    with pytest.raises(ManifestInvalid, match="No findings can be learned"):
        learnable_findings(path, ("three", "four"))


def test_lateral_and_unlabelled_images_are_left_out_and_the_rest_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(path, [*ROWS, row(8, "one", "mass", view="L"), row(9, "one", "todo")])
    assert [one.file for one in training_rows(path, ("one",))] == [str(Path(f"/{i}.png")) for i in range(3)]
    assert len(training_rows(path, (), limit=2)) == 4
