"""The synthetic chest: repeatable, one person stays recognisable, different persons differ."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from retrieval import phantom
from retrieval.phantom.frontal import thoracic_bones
from retrieval.phantom.projection import Projection


def _person(seed: int) -> phantom.Person:
    return phantom.random_person(np.random.default_rng(seed))


def _exams(seed: int, count: int) -> list[phantom.Exam]:
    rng = np.random.default_rng(seed)
    return [phantom.random_exam(rng) for _ in range(count)]


def _structure(image: np.ndarray) -> np.ndarray:
    """Rib-scale detail of the lungs' part of the image, without the large shapes and the exposure."""
    small = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), 5.0)
    detail /= cv2.GaussianBlur(np.abs(detail), (0, 0), 8.0) + 0.01
    return np.ascontiguousarray(detail[22:88, 14:114], dtype=np.float32)


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Best correlation of two images' rib structure over shifts of up to 10 of 128 pixels."""
    probe = _structure(second)[10:-10, 10:-10]
    return float(cv2.matchTemplate(_structure(first), probe, cv2.TM_CCOEFF_NORMED).max())


def test_same_seeds_give_the_same_person_exam_and_pixels() -> None:
    assert _person(4) == _person(4)
    assert _exams(9, 1) == _exams(9, 1)
    first = phantom.render(_person(4), _exams(9, 1)[0], size=256)
    second = phantom.render(_person(4), _exams(9, 1)[0], size=256)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("size", [64, 256, 401])
@pytest.mark.parametrize("draw", [phantom.render, phantom.lateral])
def test_image_is_square_finite_and_within_the_unit_range(draw: object, size: int) -> None:
    assert callable(draw)
    image = draw(_person(1), _exams(1, 1)[0], size=size)
    assert image.shape == (size, size)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() >= 0.0
    assert image.max() <= 1.0


@pytest.mark.parametrize("seed", range(12))
def test_air_is_dark_and_the_midline_bright(seed: int) -> None:
    exam = dataclasses.replace(phantom.Exam(seed=seed), marker="")
    image = phantom.render(_person(seed), exam, size=128)
    lungs = np.median(np.concatenate([image[50:62, 34:44].ravel(), image[50:62, 84:94].ravel()]))
    assert image[60:110, 60:68].mean() > lungs + 0.25
    assert image[:8, :8].mean() < lungs, "air beside the neck is darker than the lungs"


def test_heart_lies_on_the_persons_left_which_is_the_right_half_of_the_image() -> None:
    halves = []
    for seed in range(8):
        exam = dataclasses.replace(phantom.Exam(seed=seed), marker="")
        image = phantom.render(_person(seed), exam, size=128)
        halves.append(image[68:84, 74:90].mean() - image[68:84, 38:54].mean())
    assert np.mean(halves) > 0.1


def test_two_exams_of_one_person_agree_more_than_exams_of_two_persons() -> None:
    people = [_person(seed) for seed in range(30, 42)]
    pairs = [[phantom.render(person, exam, 256) for exam in _exams(seed, 2)] for seed, person in enumerate(people)]
    same = [_agreement(*pair) for pair in pairs]
    other = [_agreement(pairs[i][0], pairs[j][1]) for i in range(len(people)) for j in range(len(people)) if i != j]
    won = np.mean([mine > theirs for mine in same for theirs in other])
    assert np.median(same) > np.median(other) + 0.15
    assert won > 0.9


def test_expiration_raises_the_diaphragm() -> None:
    person = _person(2)
    deep, shallow = (
        phantom.render(person, phantom.Exam(seed=1, breath=breath, marker="", noise=0.0), 128) for breath in (1.0, 0.0)
    )
    above_the_low_dome = np.array([[-0.45 * person.half_width, person.dome_right - 1.5]])
    column, row = Projection(phantom.Exam(seed=1), 128)(above_the_low_dome)[0].astype(int)
    patch = np.s_[row - 2 : row + 2, column - 4 : column + 4]
    assert shallow[patch].mean() > deep[patch].mean() + 0.1


def test_healed_fracture_changes_the_bones_only_where_it_is() -> None:
    whole = dataclasses.replace(_person(3), marks=phantom.Marks())
    broken = dataclasses.replace(whole, marks=phantom.Marks(fractures=((11, 1.2),)))
    exam = phantom.Exam(seed=1)
    difference = np.abs(
        thoracic_bones(whole, exam, Projection(exam, 256)) - thoracic_bones(broken, exam, Projection(exam, 256))
    )
    changed = difference > 0.02
    assert changed.sum() > 20
    assert changed.mean() < 0.02


def test_collimation_darkens_the_border() -> None:
    exam = phantom.Exam(seed=1, collimation=(0.1, 0.0, 0.1, 0.2), marker="")
    image = phantom.render(_person(5), exam, 200)
    assert image[:, :20].max() < 0.05
    assert image[160:].max() < 0.05
    assert image[100, 100] > 0.2


@pytest.mark.parametrize("size", [0, 63, 5000])
def test_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(phantom.PhantomValueError, match="size"):
        phantom.render(_person(1), phantom.Exam(seed=1), size)


@pytest.mark.parametrize(
    "change",
    [{"breath": 1.5}, {"field": 5.0}, {"collimation": (0.6, 0.0, 0.0, 0.0)}, {"marker": "X"}, {"gamma": 0.0}],
)
def test_impossible_exam_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(phantom.PhantomValueError):
        dataclasses.replace(phantom.Exam(seed=1), **change)


@pytest.mark.parametrize("change", [{"age": 3}, {"half_width": 40.0}, {"dome_left": 30.0}, {"ribs": ()}])
def test_impossible_person_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(phantom.PhantomValueError):
        dataclasses.replace(_person(1), **change)
