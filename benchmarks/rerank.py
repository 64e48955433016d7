"""What the Hamming re-rank adds: the candidates of a search ordered by cosine, by codes, and by both.

Run as: python -m benchmarks.rerank --cache FOLDER

Whatever is learned here (codes by ITQ, how much a code weighs beside the cosine) is learned on validation patients: the
network knows the training patients too well. Measured is on test patients whose numbers can be trusted, see
`retrieval.data.trusted`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from benchmarks.record import Row, append_rows
from retrieval.calibration import Calibration, calibration_beside
from retrieval.codes import Code, findings_half, hamming, identity_half, pack
from retrieval.comparison import Comparer
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.trusted import trusted
from retrieval.encoder import Encoder
from retrieval.evaluation.cohort import LATERAL, TOGETHER, Cohort, cohorts
from retrieval.evaluation.encodings import Codes, codes_of
from retrieval.evaluation.methods import Calibrated
from retrieval.evaluation.pairs import numbered
from retrieval.verification import read_verifier
from retrieval.weights.card import find_weights

Floats = npt.NDArray[np.float64]
Projection = Callable[[npt.NDArray[np.float32]], Floats]
# As in the index: so many candidates by cosine, so many of them kept.
CANDIDATES, KEPT = 100, 20
BITS = (64, 128, 256)
ITERATIONS = 50


def itq(embedding: npt.NDArray[np.float32], bits: int, seed: int = 0) -> Projection:
    """Learn a code from embeddings float32 (n, dim): the function that gives real values (m, bits), coded by sign.

    Source: iterative quantisation, Gong and Lazebnik 2011, CVPR, sec. 2.
    """
    mean = embedding.mean(axis=0)
    _, _, axes = np.linalg.svd(embedding - mean, full_matrices=False)
    projection = axes[:bits].T.astype(np.float64)
    values = (embedding - mean) @ projection
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(bits, bits)))
    for _ in range(ITERATIONS):
        left, _, right = np.linalg.svd(np.sign(values @ rotation).T @ values)
        rotation = (left @ right).T
    return lambda wanted: (wanted - mean) @ projection @ rotation


def hits(similarity: Floats, cosine: Floats, patients: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Share of images with another of their person for which it comes first, is kept, and is a candidate.

    Args:
        similarity: (n, n), by which the candidates are ordered; ties in the order of cosine. cosine: (n, n).
    """
    first = kept = candidate = queries = 0
    for row in range(len(patients)):
        others = np.flatnonzero(np.arange(len(patients)) != row)
        if not (patients[others] == patients[row]).any():
            continue
        found = others[np.argsort(-cosine[row, others], kind="stable")][:CANDIDATES]
        ranked = found[np.argsort(-similarity[row, found], kind="stable")]
        right = patients[ranked] == patients[row]
        queries += 1
        first += bool(right[0])
        kept += bool(right[:KEPT].any())
        candidate += bool(right.any())
    return first / queries, kept / queries, candidate / queries


@click.command()
@click.option("--weights", default="default", show_default=True, help="Name or path of the weight file.")
@click.option("--manifest", type=click.Path(path_type=Path), default="../shared/data/manifest.csv", show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Folder for prepared images and codes.")
def main(weights: str, manifest: Path, cache: Path) -> None:
    """Measure on test patients what is learned on validation patients."""
    encoder, path = Encoder.load(weights), find_weights(weights)
    rows: dict[Split, list[ImageRow]] = {}
    codes: dict[Split, Codes] = {}
    listed = read_manifest(manifest)
    kept = set(trusted(listed))
    for split in (Split.VAL, Split.TEST):
        everything = [row for row in listed if row.split is split]
        found = codes_of(encoder, prepared_images(everything, cache), f"{split.value} patients", cache)
        frontal = [number for number, row in enumerate(everything) if row.view != LATERAL and row in kept]
        rows[split], codes[split] = [everything[number] for number in frontal], found.chosen(frontal)
    comparer = Comparer(
        Calibration.load(calibration_beside(path)), read_verifier(path, codes[Split.TEST].embedding.shape[1])
    )
    learned = {f"ITQ of the embedding, {bits} bits": itq(codes[Split.VAL].embedding, bits) for bits in BITS}
    weights_of = _weights(codes[Split.VAL], rows[Split.VAL], learned)
    table = Table("dataset", "candidates ordered by", "first", f"kept {KEPT}", f"in {CANDIDATES}", box=None)
    results: list[Row] = []
    patients = numbered([row.patient for row in rows[Split.TEST]])
    for cohort in cohorts(rows[Split.TEST]):
        if cohort.name == TOGETHER:
            continue
        test = codes[Split.TEST]
        cosine = (test.embedding[cohort.positions] @ test.embedding[cohort.positions].T).astype(np.float64)
        for name, similarity in _orders(test, cohort, cosine, patients, comparer, learned, weights_of).items():
            figures = hits(similarity, cosine, cohort.patients)
            table.add_row(cohort.name, name, *(f"{figure:.3f}" for figure in figures))
            conditions = f"{encoder.model_id}, test, {cohort.name}, {CANDIDATES} candidates by cosine"
            for what, figure in zip(("first", f"kept {KEPT}", "candidate"), figures, strict=True):
                results.append(Row("rerank", f"{name}, {what}", figure, "share", conditions))
    Console(width=120).print(table)
    append_rows("rerank", results)


def _bits(codes: Codes, learned: dict[str, Projection]) -> dict[str, Code]:
    return {
        "code, identity half": identity_half(codes.code),
        "code, findings half": findings_half(codes.code),
        "code, both halves": codes.code,
        **{name: pack(to_values(codes.embedding)) for name, to_values in learned.items()},
    }


def _apart(bits: Code) -> Floats:
    """Share of bits in which each two of n codes differ, (n, n)."""
    return np.stack([hamming(row, bits) for row in bits]) / (8 * bits.shape[1])


def _weights(codes: Codes, rows: list[ImageRow], learned: dict[str, Projection]) -> dict[str, float]:
    """How much cosine a differing bit is worth, by code: from a logistic regression on pairs of one dataset."""
    patient, dataset = np.array([row.patient for row in rows]), np.array([row.dataset for row in rows])
    one, other = np.triu_indices(len(rows), 1)
    within = dataset[one] == dataset[other]
    one, other = one[within], other[within]
    cosine = (codes.embedding @ codes.embedding.T)[one, other]
    found = {}
    for name, bits in _bits(codes, learned).items():
        given = np.stack([cosine, _apart(bits)[one, other]], axis=1)
        fitted = LogisticRegression(C=1e3, class_weight="balanced").fit(given, patient[one] == patient[other])
        weight = fitted.coef_[0]
        found[name] = min(float(weight[1] / weight[0]), 0.0)
    return found


def _orders(
    codes: Codes,
    cohort: Cohort,
    cosine: Floats,
    patients: npt.NDArray[np.int64],
    comparer: Comparer,
    learned: dict[str, Projection],
    weights_of: dict[str, float],
) -> dict[str, Floats]:
    found = {"cosine": cosine}
    for name, bits in _bits(codes.chosen(cohort.positions), learned).items():
        apart = _apart(bits)
        found[name] = -apart
        found[f"cosine and {name}"] = cosine + weights_of[name] * apart
    fused = Calibrated("fused", codes, patients, comparer).similarity(cohort.positions).astype(np.float64)
    return {**found, "calibration": fused}


if __name__ == "__main__":
    main()
