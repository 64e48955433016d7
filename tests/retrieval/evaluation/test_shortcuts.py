from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from retrieval.evaluation.changes import CHANGES
from retrieval.evaluation.cohort import cohorts
from retrieval.evaluation.shortcuts import BOTH, ONE, sample, shortcut_figures

Made = Callable[..., Any]
SIDE = 128


def people(count: int, exams: int) -> tuple[list[str], np.ndarray]:
    """Patients and images uint8 (n, 128, 128): a pattern of the person inside, one of the same person at the border."""
    rng = np.random.default_rng(0)
    patients, images = [], []
    for person in range(count):
        inside, border = (
            cv2.resize(rng.random((6, 6)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            for _ in range(2)
        )
        framed = border.copy()
        framed[32:-32, 32:-32] = inside[32:-32, 32:-32]
        for _ in range(exams):
            noisy = 0.15 + 0.6 * framed + rng.normal(0, 0.02, framed.shape)
            patients.append(f"p{person:02}")
            images.append((255 * np.clip(noisy, 0, 1)).astype(np.uint8))
    return patients, np.stack(images)


def looks_at(part: tuple[slice, slice]) -> Callable[[np.ndarray, str], np.ndarray]:
    """A network that sees this part of an image alone, whatever its exposure."""

    def embed(images: np.ndarray, _: str) -> np.ndarray:
        small = np.stack([cv2.resize(image[part], (12, 12), interpolation=cv2.INTER_AREA) for image in images])
        flat = small.reshape(len(images), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True) - 1e-3
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    return embed


INSIDE = (slice(32, -32), slice(32, -32))
CORNER = (slice(0, 16), slice(0, 16))


@pytest.fixture
def judged(rows: Made) -> Callable[[tuple[slice, slice]], dict[tuple[str, str], Any]]:
    patients, images = people(12, 3)

    def judge(part: tuple[slice, slice]) -> dict[tuple[str, str], Any]:
        found = shortcut_figures(images, cohorts(rows(patients)), looks_at(part), rounds=20)
        return {(f.change, f.changed): f for f in found}

    return judge


def test_a_network_that_reads_the_corner_is_caught(judged: Made) -> None:
    found = judged(CORNER)
    for way in (BOTH, ONE):
        assert found["corners", way].auc < 0.75
        assert found["corners", way].auc_change_high < -0.1
    assert found["border", BOTH].auc > 0.9


def test_a_network_that_looks_inside_is_not(judged: Made) -> None:
    found = judged(INSIDE)
    assert found["corners", BOTH].auc == pytest.approx(1.0)
    assert found["corners", ONE].auc_change == pytest.approx(0.0)
    assert found["border", BOTH].auc == pytest.approx(0.5, abs=0.05)
    assert found["border", BOTH].precision_at_1_change < -0.5


def test_every_change_is_judged_and_what_leaves_no_person_on_both_images_only(judged: Made) -> None:
    found = judged(INSIDE)
    expected = {(c.name, BOTH) for c in CHANGES} | {(c.name, ONE) for c in CHANGES if c.keeps_person}
    assert set(found) == expected
    assert all(f.auc_change_low <= f.auc_change <= f.auc_change_high for f in found.values())


def test_a_sample_holds_whole_patients_of_every_dataset_about_as_many_as_asked_for(rows: Made) -> None:
    many = rows([f"a{i // 3 if i < 300 else i}" for i in range(600)], dataset="x")
    few = rows([f"b{i // 2}" for i in range(10)], dataset="y")
    both = many + few
    chosen = sample(both, 100)
    assert chosen == sorted(set(chosen))
    assert [both[i].dataset for i in chosen].count("y") == 10
    mine = [both[i].patient for i in chosen if both[i].dataset == "x"]
    assert 95 <= len(mine) <= 100
    assert 55 <= sum(mine.count(patient) == 3 for patient in mine) <= 60
    assert all(mine.count(patient) in (1, 3) for patient in mine)
