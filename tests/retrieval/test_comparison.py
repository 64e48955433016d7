from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retrieval.calibration import Fusion
from retrieval.comparison import Comparer
from retrieval.errors import CalibrationInvalid
from retrieval.normalisation import Strangers, levels
from retrieval.verification import Verifier
from tests.calibrations import straight

# A population with mean 0 and deviation 1 leaves cosines as they are.
PLAIN = straight("m", 8, -1.0, 4.0, -8.0)
WITH_HEAD = replace(PLAIN, fusion=Fusion(4.0, -8.0, 0.5))
HEAD = Verifier(4, ((np.array([[0.5, 0.25, 0, 0]], np.float32), np.array([-1.0], np.float32)),))
PROBE, CODE = np.array([0.6, 0.8, 0, 0], np.float32), np.array([0b11110000, 0], np.uint8)
OTHERS = np.array([[1, 0, 0, 0], [0.6, 0.8, 0, 0]], np.float32)
CODES = np.array([[0b11110011, 255], [0b11110000, 255]], np.uint8)


def test_all_similarities_and_their_sum_by_hand() -> None:
    found = Comparer(PLAIN, None).compare(PROBE, CODE, OTHERS, CODES)
    assert found.cosine == pytest.approx([0.6, 1.0])
    assert found.normalised == pytest.approx([0.6, 1.0])
    assert found.hamming.tolist() == [2, 0]
    assert found.log_ratio == pytest.approx([-1 + 4 * 0.6 - 8 * 2 / 8, 3.0], abs=1e-6)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-found.log_ratio)))
    assert found.rarity == pytest.approx([0.5 - 0.4 * 0.4, 0.1 * np.exp(-3.0)])


def test_the_verification_head_counts_as_much_as_the_calibration_says() -> None:
    plain = Comparer(PLAIN, HEAD).compare(PROBE, CODE, OTHERS, CODES)
    found = Comparer(WITH_HEAD, HEAD).compare(PROBE, CODE, OTHERS, CODES)
    assert found.log_ratio - plain.log_ratio == pytest.approx([0.5 * -0.2, 0.5 * -1.0], abs=1e-6)


def test_a_calibration_with_a_head_needs_it() -> None:
    with pytest.raises(CalibrationInvalid, match="verification head"):
        Comparer(WITH_HEAD, None).compare(PROBE, CODE, OTHERS, CODES)


def test_images_that_are_like_everybody_are_less_alike_for_it() -> None:
    """In a gallery where everyone resembles the probe, the same cosine says less."""
    rng = np.random.default_rng(0)
    crowd = rng.normal(size=(64, 4)) * 0.3 + PROBE
    crowd = (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32)
    alike = Strangers(crowd, np.arange(1, 65))
    unlike = Strangers(-crowd, np.arange(1, 65))
    comparer = Comparer(PLAIN, None)
    first, second = (comparer.compare(PROBE, CODE, OTHERS, CODES, one).log_ratio[0] for one in (alike, unlike))
    assert first < second


def test_pairs_are_compared_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes, persons = rng.integers(0, 256, (20, 2), dtype=np.uint8), np.arange(20) // 2
    # Nobody who is compared is among the strangers: of two persons that are, one by one leaves both out.
    strangers = Strangers.of(rng.permutation(vectors, axis=1), persons + 100)
    comparer = Comparer(WITH_HEAD, HEAD)
    known = levels(vectors, persons, strangers, WITH_HEAD.population)
    first, second = np.arange(20), np.roll(np.arange(20), 7)
    found = comparer.compare(
        vectors[first],
        codes[first],
        vectors[second],
        codes[second],
        mine=known.chosen(first),
        known=known.chosen(second),
    )
    for number, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        alone = comparer.compare(
            vectors[i], codes[i], vectors[[j]], codes[[j]], strangers, int(persons[i]), persons[[j]]
        )
        for name in ("cosine", "normalised", "hamming", "score", "log_ratio", "probability", "rarity"):
            assert getattr(found, name)[number] == pytest.approx(getattr(alone, name)[0], rel=1e-5)
