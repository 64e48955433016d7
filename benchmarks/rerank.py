"""What the Hamming re-rank adds: the candidates of a search ordered by cosine, by codes, and by the calibration.

Run as: python -m benchmarks.rerank --cache FOLDER
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, append_rows
from retrieval.calibration import Calibration, calibration_beside
from retrieval.codes import hamming, identity_half, pack
from retrieval.comparison import Comparer
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import Split, read_manifest
from retrieval.encoder import Encoder
from retrieval.evaluation.cohort import LATERAL, TOGETHER, Cohort, cohorts
from retrieval.evaluation.encodings import Codes, codes_of
from retrieval.evaluation.methods import Calibrated
from retrieval.evaluation.pairs import numbered
from retrieval.verification import read_verifier
from retrieval.weights.card import find_weights

Floats = npt.NDArray[np.float64]
# As in the index: so many candidates by cosine, so many of them kept.
CANDIDATES, KEPT = 100, 20
BITS = (64, 128, 256)
ITERATIONS = 50


def itq(embedding: npt.NDArray[np.float32], bits: int, seed: int = 0) -> Callable[[npt.NDArray[np.float32]], Floats]:
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
    """Measure on test patients; codes derived from the embedding are learned on training patients."""
    encoder, path = Encoder.load(weights), find_weights(weights)
    rows = {
        split: [row for row in read_manifest(manifest) if row.split is split and row.view != LATERAL]
        for split in (Split.TRAIN, Split.TEST)
    }
    # Evaluation-only datasets have no training split.
    codes = {
        split: codes_of(encoder, prepared_images(mine, cache), f"{split.value} patients", cache)
        for split, mine in rows.items()
    }
    comparer = Comparer(
        Calibration.load(calibration_beside(path)), read_verifier(path, codes[Split.TEST].embedding.shape[1])
    )
    learned = {f"ITQ of the embedding, {bits} bits": itq(codes[Split.TRAIN].embedding, bits) for bits in BITS}
    table = Table("dataset", "candidates ordered by", "first", f"kept {KEPT}", f"in {CANDIDATES}", box=None)
    results: list[Row] = []
    patients = numbered([row.patient for row in rows[Split.TEST]])
    for cohort in cohorts(rows[Split.TEST]):
        if cohort.name == TOGETHER:
            continue
        test = codes[Split.TEST]
        cosine = (test.embedding[cohort.positions] @ test.embedding[cohort.positions].T).astype(np.float64)
        for name, similarity in _orders(test, cohort, cosine, patients, comparer, learned).items():
            figures = hits(similarity, cosine, cohort.patients)
            table.add_row(cohort.name, name, *(f"{figure:.3f}" for figure in figures))
            conditions = f"{encoder.model_id}, test, {cohort.name}, {CANDIDATES} candidates by cosine"
            for what, figure in zip(("first", f"kept {KEPT}", "candidate"), figures, strict=True):
                results.append(Row("rerank", f"{name}, {what}", figure, "share", conditions))
    Console(width=120).print(table)
    append_rows("rerank", results)


def _orders(
    codes: Codes,
    cohort: Cohort,
    cosine: Floats,
    patients: npt.NDArray[np.int64],
    comparer: Comparer,
    learned: dict[str, Callable[[npt.NDArray[np.float32]], Floats]],
) -> dict[str, Floats]:
    mine = codes.code[cohort.positions]
    halves = {
        "code, identity half": identity_half(mine),
        "code, findings half": mine[:, mine.shape[1] // 2 :],
        "code, both halves": mine,
        **{name: pack(to_values(codes.embedding[cohort.positions])) for name, to_values in learned.items()},
    }
    fused = Calibrated("fused", codes, patients, comparer).similarity(cohort.positions).astype(np.float64)
    distances = {name: np.stack([-hamming(row, bits) for row in bits]) for name, bits in halves.items()}
    return {"cosine": cosine, **{name: found.astype(np.float64) for name, found in distances.items()}, "fused": fused}


if __name__ == "__main__":
    main()
