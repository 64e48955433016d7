"""Evaluate a weight file on a manifest: encode, compare, and collect the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from retrieval.calibration import Calibration, calibration_beside
from retrieval.codes import identity_half
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.encoder import Encoder, Encodings
from retrieval.evaluation.comparators import frozen_vectors, pixel_vectors
from retrieval.evaluation.metrics import calibration_error
from retrieval.evaluation.pairs import Pairs, make_pairs, patient_numbers
from retrieval.evaluation.protocol import Figures, code_similarity, evaluate
from retrieval.evaluation.report import CalibrationFigures, GateFigures, Report
from retrieval.weights import find_weights

_LATERAL = "L"
_CHUNK = 64


def evaluate_weights(
    manifest: Path,
    cache: Path,
    weights: str,
    split: Split = Split.TEST,
    frozen: Path | None = None,
) -> Report:
    """Evaluate one weight file on every dataset of a manifest.

    Args:
        manifest: CSV of images. cache: folder for prepared images.
        weights: name or path. split: whose patients are reported on.
        frozen: torchvision mobilenet_v2 weights for the comparator; left out if None.
    """
    encoder = Encoder.load(weights)
    path = calibration_beside(find_weights(weights))
    calibration = Calibration.load(path) if path.is_file() else None
    rows = [row for row in read_manifest(manifest) if row.split is split]
    figures: list[Figures] = []
    gate: list[GateFigures] = []
    errors: list[CalibrationFigures] = []
    for dataset in sorted({row.dataset for row in rows}):
        chosen = [row for row in rows if row.dataset == dataset]
        images = prepared_images(chosen, cache, quiet=True)
        encodings = encode_all(encoder, images, dataset)
        gate.append(GateFigures(dataset, len(chosen), float(encodings.gate.suitable.mean())))
        if all(row.view == _LATERAL for row in chosen):
            continue
        figures += _methods(dataset, chosen, images, encodings, frozen)
        if calibration is not None:
            errors.append(_calibration(dataset, chosen, encodings, calibration))
    return Report(encoder.model_id, split.value, tuple(figures), tuple(gate), tuple(errors))


def encode_all(encoder: Encoder, images: npt.NDArray[np.uint8], name: str) -> Encodings:
    """Encode prepared images uint8 (n, h, w) with a progress bar."""
    starts = range(0, len(images), _CHUNK)
    parts = [encoder.encode(images[i : i + _CHUNK]) for i in track(starts, description=f"encoding {name}")]
    return Encodings.joined(parts)


def dataset_pairs(rows: Sequence[ImageRow], encodings: Encodings) -> Pairs:
    """All fair pairs of encoded images, in the order of `rows`."""
    numbers = patient_numbers([row.patient for row in rows])
    return make_pairs(encodings.embedding, encodings.code, numbers, [row.view for row in rows])


def _methods(
    dataset: str,
    rows: Sequence[ImageRow],
    images: npt.NDArray[np.uint8],
    encodings: Encodings,
    frozen: Path | None,
) -> list[Figures]:
    similarities = {
        "embedding": encodings.embedding @ encodings.embedding.T,
        f"code, {8 * identity_half(encodings.code).shape[1]} bits": code_similarity(encodings.code),
        "pixels 32x32": _cosine(pixel_vectors(images)),
    }
    if frozen is not None:
        similarities["frozen mobilenet_v2"] = _cosine(frozen_vectors(images, frozen))
    patients, views = [row.patient for row in rows], [row.view for row in rows]
    found = [evaluate(dataset, method, matrix, patients, views) for method, matrix in similarities.items()]
    passed = np.flatnonzero(encodings.gate.suitable)
    if len(passed) < len(rows):
        matrix = similarities["embedding"][np.ix_(passed, passed)]
        found.append(
            evaluate(dataset, "embedding, gated", matrix, [patients[i] for i in passed], [views[i] for i in passed])
        )
    return found


def _calibration(
    dataset: str, rows: Sequence[ImageRow], encodings: Encodings, calibration: Calibration
) -> CalibrationFigures:
    pairs = dataset_pairs(rows, encodings)
    probability = calibration.probability(pairs.cosine, pairs.hamming)
    weights = np.where(pairs.same, 0.5 / pairs.same.sum(), 0.5 / (~pairs.same).sum())
    return CalibrationFigures(dataset, len(pairs.same), *calibration_error(probability, pairs.same, weights))


def _cosine(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(vectors @ vectors.T, dtype=np.float32)
