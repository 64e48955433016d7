from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from retrieval.data.sampler import PatientGroup, batches, group_patients
from retrieval.errors import ConfigInvalid

PATIENTS = ["a", "a", "a", "b", "c", "c", "d", "e", "f", "f"]


def group(patients: int, paired_share: float, rivals: tuple[tuple[int, ...], ...] | None = None) -> PatientGroup:
    return PatientGroup(group_patients(PATIENTS, range(len(PATIENTS))), patients, paired_share, rivals)


def test_images_are_grouped_by_patient() -> None:
    assert group_patients(PATIENTS, [0, 3, 1, 9]) == ((0, 1), (3,), (9,))


def test_two_images_of_each_patient_stand_together_and_no_patient_comes_twice() -> None:
    for batch in islice(batches([group(4, 0.5)], np.random.default_rng(0)), 50):
        owners = [PATIENTS[i] for i in batch]
        assert owners[::2] == owners[1::2]
        assert len(set(owners)) == 4


def test_patients_with_several_images_give_two_different_ones() -> None:
    for batch in islice(batches([group(3, 1.0)], np.random.default_rng(0)), 50):
        assert {PATIENTS[i] for i in batch} == {"a", "c", "f"}
        assert all(first != second for first, second in batch.reshape(-1, 2))


def test_single_images_come_twice_to_be_augmented_apart() -> None:
    batch = next(batches([group(3, 0.0)], np.random.default_rng(0)))
    assert all(first == second for first, second in batch.reshape(-1, 2))


def test_groups_keep_their_share_of_the_batch() -> None:
    images = (tuple(range(10, 14)), tuple(range(20, 24)))
    batch = next(batches([group(3, 0.5), PatientGroup(images, 2, 1.0)], np.random.default_rng(0)))
    assert (batch < 10).sum() == 6
    assert (batch >= 10).sum() == 4


def test_rivals_join_the_same_batch() -> None:
    rivals = ((2,), (3,), (0,), (1,), (0,), (0,))
    for batch in islice(batches([group(2, 0.5, rivals)], np.random.default_rng(0)), 50):
        owners = {PATIENTS[i] for i in batch}
        assert owners in ({"a", "c"}, {"b", "d"}, {"e", "a"}, {"f", "a"})


def test_same_seed_gives_the_same_batches() -> None:
    first, second = (next(batches([group(4, 0.5)], np.random.default_rng(3))) for _ in range(2))
    assert np.array_equal(first, second)


def test_batch_larger_than_the_group_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="cannot hold 7"):
        group(7, 0.5)
