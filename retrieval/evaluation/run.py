"""Evaluate a weight file on a manifest: encode each image once, compare, and collect the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from retrieval.calibration import Calibration, calibration_beside, probability
from retrieval.codes import identity_half
from retrieval.comparison import Comparer
from retrieval.data.cache import prepared_images
from retrieval.data.copies import without_copies
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.trusted import trusted
from retrieval.encoder import Encoder
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.cohort import LATERAL, Cohort, cohorts
from retrieval.evaluation.comparators import frozen_vectors, perceptual_hashes, pixel_vectors
from retrieval.evaluation.encodings import Codes, codes_of, encode_all, kept_vectors
from retrieval.evaluation.facts import learned_from
from retrieval.evaluation.findings_figures import findings_figures
from retrieval.evaluation.listed_pairs import ListedPairs, PairFigures, pair_figures
from retrieval.evaluation.methods import AnyMethod, Calibrated, Method
from retrieval.evaluation.metrics import Reliability, reliability
from retrieval.evaluation.pairs import Pairs, make_pairs, numbered
from retrieval.evaluation.protocol import Curves, Figures, evaluate
from retrieval.evaluation.report import CalibrationFigures, GateFigures, Report
from retrieval.evaluation.selection import select
from retrieval.evaluation.shortcuts import ShortcutFigures, sample, shortcut_figures
from retrieval.verification import read_verifier
from retrieval.weights import find_weights, model_id_of, read_card

EMBEDDING = "embedding"
GATED = "embedding, gated"
CALIBRATED = "calibrated"


@dataclass(frozen=True)
class Task:
    """What to evaluate.

    Attributes:
        manifest: CSV of images. cache: folder for prepared images and codes; both are kept there.
        weights: name or path. against: more weight files for the same table.
        split: whose patients are reported on. doubtful: also those of `retrieval.data.doubtful`.
        frozen: torchvision mobilenet_v2 weights for the comparator; left out if None.
        pairs: list of pairs to report on as well. shortcuts: whether to test for shortcuts.
        images: if there are more, whole patients are drawn at random up to so many.
        rounds: draws of patients for the intervals.
    """

    manifest: Path
    cache: Path
    weights: str
    against: tuple[str, ...] = ()
    split: Split = Split.TEST
    doubtful: bool = False
    frozen: Path | None = None
    pairs: Path | None = None
    shortcuts: bool = False
    images: int = 4000
    rounds: int = 300


@dataclass(frozen=True)
class Evaluation:
    """The report, and what its pictures need besides: in memory only.

    Attributes:
        rows, images: the n images that were encoded, uint8 (n, 320, 320). lines: their rows in the manifest, from 1.
        cohorts: which of them were compared. pairs: of each cohort, by name, as the network compares them.
        curves: in the order of the figures. reliability: by cohort; empty for weights without a calibration.
        learned: datasets whose other patients the network was trained on.
    """

    report: Report
    rows: tuple[ImageRow, ...]
    lines: tuple[int, ...]
    images: npt.NDArray[np.uint8]
    cohorts: tuple[Cohort, ...]
    pairs: dict[str, Pairs]
    curves: tuple[Curves, ...]
    reliability: dict[str, Reliability]
    learned: tuple[str, ...]


def run(task: Task) -> Evaluation:
    """Evaluate one weight file on every dataset of a manifest and on all together.

    Raises:
        ManifestInvalid: the manifest, an image or the list of pairs cannot be used, or the split has no images.
        WeightsNotUsable: a weight file cannot be used.
    """
    encoder = Encoder.load(task.weights)
    listed = read_manifest(task.manifest)
    kept = set(without_copies(listed) if task.doubtful else trusted(listed))
    mine = [(line, row) for line, row in enumerate(listed, start=1) if row.split is task.split and row in kept]
    if not any(row.view != LATERAL for _, row in mine):
        raise ManifestInvalid(f"The manifest {task.manifest} has no frontal image in its split {task.split.value!r}.")
    chosen = select([row for _, row in mine], task.images, task.pairs)
    rows, lines = tuple(mine[i][1] for i in chosen.encoded), tuple(mine[i][0] for i in chosen.encoded)
    images = prepared_images(rows, task.cache)
    codes = codes_of(encoder, images, "images", task.cache)
    parts = cohorts(rows, chosen.compared)
    comparer = _comparer(find_weights(task.weights))
    patients = numbered([row.patient for row in rows])
    methods = _methods(task, images, codes, patients, comparer)
    found = _recognition(methods, parts, codes, task.rounds)
    compared = {
        part.name: make_pairs(
            codes.embedding[part.positions],
            codes.code[part.positions],
            part.patients,
            part.stratum_names,
            None if comparer is None else comparer.verifier,
            None if comparer is None else comparer.calibration.population,
        )
        for part in parts
    }
    diagrams = {} if comparer is None else _reliability(compared, comparer.calibration)
    report = Report(
        model_id=encoder.model_id,
        weights=find_weights(task.weights).stem,
        split=task.split.value,
        figures=tuple(figures for figures, _ in found),
        findings=tuple(findings_figures(parts, codes, images, task.rounds)),
        pairs=_on_list(chosen.pairs, methods, rows, task.rounds),
        shortcuts=tuple(_shortcuts(encoder, rows, images, chosen.compared, task)) if task.shortcuts else (),
        gate=tuple(_gate(rows, codes)),
        calibration=tuple(
            CalibrationFigures(name, int((d.same + d.different).sum()), d.expected_calibration_error, d.brier)
            for name, d in diagrams.items()
        ),
    )
    curves = tuple(curve for _, curve in found)
    return Evaluation(
        report, rows, lines, images, parts, compared, curves, diagrams, learned_from(find_weights(task.weights))
    )


def _comparer(weights: Path) -> Comparer | None:
    """How the product compares codes of these weights; None without a calibration beside them."""
    path = calibration_beside(weights)
    if not path.is_file():
        return None
    return Comparer(Calibration.load(path), read_verifier(weights, read_card(weights).dim))


def _methods(
    task: Task,
    images: npt.NDArray[np.uint8],
    codes: Codes,
    patients: npt.NDArray[np.int64],
    comparer: Comparer | None,
) -> list[AnyMethod]:
    half = np.ascontiguousarray(identity_half(codes.code))
    methods: list[AnyMethod] = [Method(EMBEDDING, codes.embedding), Method(f"code, {8 * half.shape[1]} bits", half)]
    if comparer is not None:
        methods.insert(1, Calibrated(CALIBRATED, codes, patients, comparer))
    if not codes.suitable.all():
        methods.insert(1, Method(GATED, codes.embedding, gated=True))
    for other in task.against:
        name = find_weights(other).stem
        methods.append(Method(name, codes_of(Encoder.load(other), images, name, task.cache).embedding))
    if task.frozen is not None:
        frozen = task.frozen
        name = f"frozen-{model_id_of(frozen)}"
        vectors = kept_vectors(task.cache, name, images, lambda: frozen_vectors(images, frozen))
        methods.append(Method("frozen mobilenet_v2", vectors))
    methods.append(Method("pHash", perceptual_hashes(images)))
    methods.append(Method("pixels 32x32", pixel_vectors(images)))
    return methods


def _recognition(
    methods: Sequence[AnyMethod], parts: Sequence[Cohort], codes: Codes, rounds: int
) -> list[tuple[Figures, Curves]]:
    found = []
    work = [(part, method) for part in parts for method in methods]
    for part, method in track(work, description="comparing images", console=Console(stderr=True)):
        cohort = part.chosen(codes.suitable) if method.gated else part
        if method.gated and len(cohort.rows) in (0, len(part.rows)):
            continue
        found.append(evaluate(method.name, method.similarity(cohort.positions), cohort, rounds))
    return found


def _reliability(compared: dict[str, Pairs], calibration: Calibration) -> dict[str, Reliability]:
    """At even odds: half of the weight on pairs of one person, half on those of two."""
    found = {}
    for name, pairs in compared.items():
        if pairs.same.any() and not pairs.same.all():
            score = calibration.score(pairs.likeness, pairs.hamming, pairs.verification)
            said = probability(calibration.log_likelihood_ratio(score))
            weights = np.where(pairs.same, 0.5 / pairs.same.sum(), 0.5 / (~pairs.same).sum())
            found[name] = reliability(said, pairs.same, weights)
    return found


def _on_list(
    listed: ListedPairs | None, methods: Sequence[AnyMethod], rows: Sequence[ImageRow], rounds: int
) -> tuple[PairFigures, ...]:
    if listed is None:
        return ()
    return tuple(pair_figures(method, listed, rows, rounds) for method in methods if not method.gated)


def _shortcuts(
    encoder: Encoder, rows: Sequence[ImageRow], images: npt.NDArray[np.uint8], compared: Sequence[int], task: Task
) -> list[ShortcutFigures]:
    chosen = [compared[i] for i in sample([rows[i] for i in compared])]
    parts = cohorts([rows[i] for i in chosen])

    def embed(altered: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.float32]:
        # What was changed on purpose is not put right again.
        kept = f"{encoder.model_id}-{encoder.precision}-as-given"
        return kept_vectors(task.cache, kept, altered, lambda: encode_all(encoder, altered, name, False).embedding)

    return shortcut_figures(images[chosen], parts, embed, task.rounds)


def _gate(rows: Sequence[ImageRow], codes: Codes) -> list[GateFigures]:
    found = []
    for dataset in sorted({row.dataset for row in rows}):
        passed = codes.suitable[[row.dataset == dataset for row in rows]]
        found.append(GateFigures(dataset, len(passed), float(passed.mean())))
    return found
