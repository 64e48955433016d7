from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.calibration import Calibration, calibration_beside
from retrieval.codes import hamming
from retrieval.comparison import Comparer
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.phantoms import phantom_images
from retrieval.encoder import Encoder, Encodings
from retrieval.errors import DeviceFailed, ImageNotUsable, WeightsNotUsable
from retrieval.evaluation.encodings import dataset_pairs, encode_all
from retrieval.evaluation.pairs import numbered
from retrieval.evaluation.search import search
from retrieval.evaluation.verification import RankedPairs
from retrieval.gate import NOT_FRONTAL, REASONS, UNINFORMATIVE, Seen
from retrieval.preprocess import prepare
from retrieval.upright import RIGHTINGS, Righting
from retrieval.verification import read_verifier
from retrieval.weights import DEFAULT_NAME, find_weights
from tests.solids import SOLIDS

PEOPLE, EXAMS = 5, 2


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(device="cpu")


@pytest.fixture(scope="module")
def chests() -> np.ndarray:
    """Synthetic chests uint8 (people · exams, 320, 320) of people the network has not seen."""
    return phantom_images(PEOPLE, EXAMS, seed=90210).reshape(-1, 320, 320)


@pytest.fixture(scope="module")
def encodings(encoder: Encoder, chests: np.ndarray) -> Encodings:
    return encoder.encode(chests)


def test_encoding_is_what_is_promised(encoder: Encoder, encodings: Encodings) -> None:
    n = PEOPLE * EXAMS
    assert encodings.embedding.shape == (n, encoder.dim)
    assert encodings.embedding.dtype == np.float32
    assert np.allclose(np.linalg.norm(encodings.embedding, axis=1), 1.0, atol=1e-3)
    assert encodings.code.shape == (n, encoder.bits // 8)
    assert encodings.code.dtype == np.uint8
    assert encodings.attention.ndim == 3
    assert encodings.attention.min() >= 0
    assert encodings.attention.max() <= 1
    assert len(encoder.model_id) == 12


def test_same_image_is_encoded_the_same_again(encoder: Encoder, chests: np.ndarray, encodings: Encodings) -> None:
    again = encoder.encode(chests)
    assert np.array_equal(again.embedding, encodings.embedding)
    assert np.array_equal(again.code, encodings.code)


def test_neighbours_in_a_batch_do_not_matter(encoder: Encoder, chests: np.ndarray, encodings: Encodings) -> None:
    alone = encoder.encode(chests[3:4])
    assert float(alone.embedding[0] @ encodings.embedding[3]) > 0.999


def test_both_precisions_recognise_alike(chests: np.ndarray) -> None:
    full, half = (Encoder.load(device="cpu", precision=precision).encode(chests) for precision in ("fp32", "bf16"))
    assert (full.embedding * half.embedding).sum(axis=1).min() > 0.99
    assert hamming(full.code, half.code).max() <= 8


def test_each_synthetic_person_is_nearer_to_itself_than_to_others(encodings: Encodings) -> None:
    similarity = encodings.embedding @ encodings.embedding.T
    person = np.arange(PEOPLE * EXAMS) // EXAMS
    np.fill_diagonal(similarity, -1)
    assert (person[similarity.argmax(axis=1)] == person).mean() >= 0.8


def test_usual_synthetic_chests_pass_the_gate(encodings: Encodings) -> None:
    assert encodings.gate.suitable.all(), encodings.gate.reason


def test_wrong_images_do_not_pass_the_gate(encoder: Encoder, chests: np.ndarray) -> None:
    noise = prepare(np.random.default_rng(0).random((300, 300)).astype(np.float32))
    ramp = prepare(np.linspace(0, 1, 300, dtype=np.float32)[:, None] * np.ones((1, 300), dtype=np.float32))
    half = chests[0].copy()
    half[:, 140:] = 0
    blank = prepare(np.zeros((300, 300), dtype=np.float32))
    found = encoder.encode(np.stack([noise, ramp, half, blank]))
    assert not found.gate.suitable.any(), found.gate.reason
    assert found.gate.reason[3] == UNINFORMATIVE
    assert found.righting == (None,) * 4


def test_a_flipped_image_is_a_turned_one_of_a_mirrored_chest(encoder: Encoder, chests: np.ndarray) -> None:
    flipped, mirrored = encoder.encode(chests[:2, ::-1]), encoder.encode(chests[:2, :, ::-1])
    assert flipped.righting == (Righting(2, False),) * 2
    assert (flipped.embedding * mirrored.embedding).sum(axis=1).min() > 0.999


def test_no_image_is_put_right_where_it_is_to_be_seen_as_given(encoder: Encoder, chests: np.ndarray) -> None:
    found = encoder.as_given(np.ascontiguousarray(np.rot90(chests[:2], axes=(1, 2))))
    assert not found.gate.suitable.any()
    assert set(found.gate.reason) <= {NOT_FRONTAL, REASONS[Seen.TURNED], REASONS[Seen.PARTIAL]}
    assert found.righting == (None, None)


@pytest.mark.parametrize("stored", RIGHTINGS, ids=str)
def test_an_image_that_is_stored_turned_or_inverted_is_put_right(
    stored: Righting, encoder: Encoder, chests: np.ndarray, encodings: Encodings
) -> None:
    given = np.stack([chests[0], *(stored.of(image) for image in chests[1:4])])
    found = encoder.encode(given)
    assert found.gate.suitable.all(), found.gate.reason
    back = Righting(-stored.quarter_turns % 4, stored.inverted)
    assert found.righting == (None, back, back, back)
    assert (found.embedding * encodings.embedding[:4]).sum(axis=1).min() > 0.999
    assert hamming(found.code, encodings.code[:4]).max() <= 2
    for seen, upright in zip(found.attention[1:], encodings.attention[1:4], strict=True):
        # The map lies on the image as it was given.
        assert np.corrcoef(np.rot90(upright, stored.quarter_turns).ravel(), seen.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("part", SOLIDS)
def test_other_body_parts_do_not_pass_the_gate(part: str, encoder: Encoder) -> None:
    drawn = np.stack([SOLIDS[part](np.random.default_rng(seed)) for seed in range(2)])
    assert not encoder.encode(drawn).gate.suitable.any()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 128, 128), dtype=np.uint8),
        np.zeros((1, 320, 320), dtype=np.float32),
        np.zeros((0, 320, 320), dtype=np.uint8),
        np.zeros((320, 320), dtype=np.uint8),
    ],
)
def test_images_that_were_not_prepared_are_refused(encoder: Encoder, images: np.ndarray) -> None:
    with pytest.raises(ImageNotUsable, match="Prepared images"):
        encoder.encode(images)


def test_a_broken_gpu_is_told_from_a_mistake(chests: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder.load(device="cpu")
    for text, expected in (("CUDA error: device-side assert triggered", DeviceFailed), ("a mistake", RuntimeError)):

        def fail(_: object, text: str = text) -> None:
            raise RuntimeError(text)

        monkeypatch.setattr(encoder, "_forward", fail)
        with pytest.raises(expected):
            encoder.encode(chests[:1])


def test_missing_weights_are_named() -> None:
    with pytest.raises(WeightsNotUsable, match="nowhere"):
        Encoder.load("nowhere")


def test_shipped_calibration_belongs_to_the_shipped_weights(encoder: Encoder, encodings: Encodings) -> None:
    calibration = Calibration.load(calibration_beside(find_weights(DEFAULT_NAME)))
    assert calibration.model_id == encoder.model_id
    assert calibration.identity_bits == encoder.bits // 2
    verifier = read_verifier(find_weights(DEFAULT_NAME), encodings.embedding.shape[1])
    comparer = Comparer(calibration, verifier)
    found = comparer.compare(encodings.embedding[0], encodings.code[0], encodings.embedding, encodings.code)
    assert found.probability[0] == found.probability.max()
    assert found.probability[1] > np.median(found.probability[EXAMS:])


def rows_of(shared: Path, dataset: str) -> list[ImageRow]:
    rows = read_manifest(shared / "data" / "manifest.csv", [dataset])
    return [row for row in rows if row.split is Split.TEST]


def test_adults_it_never_saw_are_recognised(encoder: Encoder, shared: Path, tmp_path: Path) -> None:
    rows = rows_of(shared, "nih")
    encodings = encode_all(encoder, prepared_images(rows, tmp_path, quiet=True), "nih")
    pairs = dataset_pairs(rows, encodings)
    ranked = RankedPairs(pairs.cosine, pairs.same, (pairs.first_patient, pairs.second_patient))
    assert ranked.operating(votes=False).auc() > 0.89
    found = search(encodings.embedding @ encodings.embedding.T, numbered([row.patient for row in rows]))
    assert found.precision_at_1 > 0.63
    assert encodings.gate.suitable.mean() >= 0.98


def test_lateral_views_are_mostly_held_back(encoder: Encoder, shared: Path, tmp_path: Path) -> None:
    images = prepared_images(rows_of(shared, "lateral"), tmp_path, quiet=True)
    assert encoder.encode(images).gate.suitable.mean() <= 0.25
