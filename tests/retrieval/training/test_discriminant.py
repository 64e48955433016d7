from __future__ import annotations

import numpy as np
import pytest

from retrieval.errors import ManifestInvalid
from retrieval.training.discriminant import discriminant


def people(count: int, images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The person lies in two weak coordinates; two strong ones change with every image."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(count), images)
    person = rng.normal(size=(count, 2))[patients]
    exam = 2 * rng.normal(size=(len(patients), 2))
    return np.concatenate([person + 0.05 * rng.normal(size=person.shape), exam], axis=1), patients


def nearest_is_same(values: np.ndarray, patients: np.ndarray) -> float:
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    return float((patients[similarity.argmax(axis=1)] == patients).mean())


def test_directions_tell_patients_that_were_not_seen_apart() -> None:
    features, patients = people(60, 4)
    centre, directions = discriminant(features, patients, np.full(len(patients), "adult"), 2)
    fresh, theirs = people(10, 4, seed=1)
    before = nearest_is_same(fresh - centre, theirs)
    assert nearest_is_same((fresh - centre) @ directions, theirs) > before + 0.2


def test_a_large_kind_does_not_drown_a_small_one() -> None:
    features, patients = people(30, 2)
    again = np.concatenate([features] * 5)
    kinds = np.array(["child"] * 60 + ["adult"] * 240)
    numbers = np.concatenate([patients + 100 * k for k in range(5)])
    _, alike = discriminant(again, numbers, kinds, 2)
    _, single = discriminant(again, numbers, np.full(300, "one"), 2)
    assert np.allclose(np.abs(alike), np.abs(single), atol=1e-6)


def test_patients_with_one_image_teach_nothing() -> None:
    features, _ = people(10, 1)
    with pytest.raises(ManifestInvalid, match="two images"):
        discriminant(features, np.arange(10), np.full(10, "adult"), 2)


def test_what_sets_kinds_apart_tells_nobody_from_others() -> None:
    features, patients = people(60, 4)
    kinds = np.where(patients < 30, "adult", "child")
    away = np.array([3.0, 4.0, 0.0, 0.0])
    features += np.where(patients < 30, -1.0, 1.0)[:, None] * away
    means = np.stack([features[kinds == kind].mean(axis=0) for kind in ("adult", "child")])
    centre, directions = discriminant(features, patients, kinds, 2)
    assert np.allclose(centre, means.mean(axis=0))
    assert np.allclose((means[1] - means[0]) @ directions, 0, atol=1e-9)


def test_kinds_whose_persons_differ_in_other_places_need_directions_for_both() -> None:
    quiet = np.array([1.0, 1.0, 0.02, 0.02])
    features, patients = people(60, 4)
    features, still = features * quiet, np.zeros_like(features)
    both = np.concatenate([np.hstack([features, still]), np.hstack([still, features])])
    kinds = np.repeat(["adult", "child"], len(features))
    centre, directions = discriminant(both, np.concatenate([patients, patients + 100]), kinds, 4)
    fresh, theirs = people(20, 4, seed=1)
    fresh, still = fresh * quiet, np.zeros_like(fresh)
    for seen in (np.hstack([fresh, still]), np.hstack([still, fresh])):
        found = (seen - centre) @ directions
        assert nearest_is_same(found, theirs) > nearest_is_same(found[:, :2], theirs) + 0.1
