from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.data.manifest import ImageRow, Split
from retrieval.encoder import Encodings
from retrieval.evaluation.metrics import patient_votes
from retrieval.evaluation.pairs import Pairs, make_pairs, numbered
from retrieval.evaluation.verification import RankedPairs
from retrieval.gate import GateReading
from retrieval.normalisation import Population
from retrieval.training.verification import Fitted, HeadOptions, Worth, fit_verification, train_head, worth

DIM, TELLING, PEOPLE, EXAMS = 16, 8, 40, 4
SHARES = {"adults": 1.0}
OPTIONS = HeadOptions(steps=200, batch=256, views=2)


class People:
    """Embeddings of which only the first half tells people apart, with codes that tell nothing."""

    bits = 32

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        centres = self._random.normal(size=(PEOPLE, TELLING))
        mine = np.repeat(centres, EXAMS, axis=0) + 0.35 * self._random.normal(size=(PEOPLE * EXAMS, TELLING))
        noise = self._random.normal(size=(PEOPLE * EXAMS, DIM - TELLING))
        found = np.concatenate([mine, 1.2 * noise], axis=1)
        self.embedding = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
        self.rows = [
            ImageRow(Path(), f"{seed}/{i}.png", "nih", f"{seed}:{i // EXAMS}", Split.TRAIN, "", "PA")
            for i in range(PEOPLE * EXAMS)
        ]

    def encode(self, images: np.ndarray) -> Encodings:
        """As an encoder would, which knows an image by the number in its first pixel however it is augmented."""
        at = images[:, 0, 0].astype(int)
        n = len(at)
        codes = self._random.integers(0, 256, (n, self.bits // 8), dtype=np.uint8)
        gate = GateReading(np.ones(n, dtype=np.bool_), (None,) * n)
        return Encodings(self.embedding[at], codes, np.zeros((n, 2, 2), np.float32), gate, (None,) * n)

    as_given = encode

    def images(self) -> np.ndarray:
        """Numbered images uint8 (n, 8, 8)."""
        return np.broadcast_to(np.arange(PEOPLE * EXAMS, dtype=np.uint8)[:, None, None], (PEOPLE * EXAMS, 8, 8)).copy()

    def pairs(self, head: torch.nn.Module | None = None) -> Pairs:
        """All their pairs."""
        verifier = None if head is None else head.verifier()  # type: ignore[operator]  # torch types it loosely
        codes = self.encode(self.images()).code
        patients = numbered([row.patient for row in self.rows])
        return make_pairs(self.embedding, codes, patients, [row.view for row in self.rows], verifier)


def auc(scores: np.ndarray, pairs: Pairs) -> float:
    return RankedPairs(scores, pairs.same, (pairs.first_patient, pairs.second_patient)).operating().auc()


def test_head_learns_which_coordinates_tell_people_apart() -> None:
    learned, fresh = People(1), People(2)
    head = train_head(np.stack([learned.embedding] * 2), learned.rows, OPTIONS, seed=0)
    pairs = fresh.pairs(head)
    assert pairs.verification is not None
    assert auc(pairs.verification, pairs) > auc(pairs.cosine, pairs) + 0.01
    weight = head.layers[0].weight.detach().numpy()[0]
    assert (weight <= 0).all()
    assert weight[:TELLING].mean() < 3 * weight[TELLING:].mean()


def test_same_seed_trains_the_same_head() -> None:
    people = People(1)
    one, two = (train_head(people.embedding[None], people.rows, HeadOptions(steps=5), seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_head_that_helps_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitted(monkeypatch, People(2))
    assert found is not None
    assert found.fused.log_loss < found.without.log_loss
    assert found.kept is found.head


def test_too_few_validation_patients_give_no_head(monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(2)
    assert fitted(monkeypatch, people, images=15 * EXAMS) is None


def fitted(monkeypatch: pytest.MonkeyPatch, held_out: People, images: int = PEOPLE * EXAMS) -> Fitted | None:
    """Fit on some people and judge by others; the augmentation leaves the numbers in the pixels alone."""
    learned = People(1)
    monkeypatch.setattr("retrieval.training.verification._moved", lambda images, generator: images)
    encodings = held_out.encode(held_out.images()[:images])
    validation = {"adults": (held_out.rows[:images], encodings)}
    return fit_verification(learned, learned.rows, learned.images(), validation, SHARES, 0, OPTIONS)  # type: ignore[arg-type]  # stands for an encoder


def test_worth_of_similarities_that_tell_everything_and_nothing() -> None:
    rng = np.random.default_rng(0)
    pairs = People(2).pairs()
    votes = patient_votes(pairs.same, pairs.first_patient)
    assert votes[pairs.same].sum() == pytest.approx(PEOPLE)
    perfect = Pairs(pairs.same, 2 * pairs.same.astype(np.float32) - 1, *numbers(pairs))
    useless = Pairs(pairs.same, rng.normal(size=len(pairs.same)).astype(np.float32), *numbers(pairs))
    best, worst = (worth({"adults": alone(one)}, Population(0.0, 1.0), SHARES, 16) for one in (perfect, useless))
    assert best.true_positive_rate == 1.0 and best.log_loss < 0.1
    assert worst.true_positive_rate < 0.1 and worst.log_loss == pytest.approx(np.log(2), abs=0.05)
    assert best.beats(worst) and not worst.beats(best)


def alone(pairs: Pairs) -> Pairs:
    """With cosines that need no normalisation."""
    return replace(pairs, normalised=pairs.cosine.astype(np.float64))


def numbers(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances that tell nothing, and the patients of pairs."""
    return np.full(len(pairs.same), 8), pairs.first_patient, pairs.second_patient


def test_better_in_one_figure_and_worse_in_the_other_is_not_better() -> None:
    assert Worth(0.3, 0.7).beats(Worth(0.3, 0.6))
    assert Worth(0.2, 0.6).beats(Worth(0.3, 0.6))
    assert not Worth(0.2, 0.5).beats(Worth(0.3, 0.6))
    assert not Worth(0.2999, 0.601).beats(Worth(0.3, 0.6))
