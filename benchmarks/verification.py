"""What each similarity adds to the comparison of two images: cosine, hash code, and forms of P3's verification head.

Run it with `python -m benchmarks.verification`. Heads learn from training patients. The weights of a fusion are fitted
on validation patients, so figures of fusions on `val` flatter them a little; those on `test` do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, append_rows
from retrieval.calibration import Calibration, Fusion
from retrieval.comparison import Comparer
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.trusted import trusted
from retrieval.encoder import Encoder
from retrieval.evaluation.cohort import LATERAL, Cohort, cohorts
from retrieval.evaluation.encodings import Codes, codes_of, pairs_by_kind
from retrieval.evaluation.methods import Calibrated
from retrieval.evaluation.pairs import numbered
from retrieval.evaluation.protocol import Figures, evaluate
from retrieval.training.calibrate import fit_calibration
from retrieval.training.kinds import SHARES, by_kind
from retrieval.training.verification import HeadOptions, augmented_views, images_to_learn_from, train_head, worth
from retrieval.verification import Verifier

FORMS = {
    "head |x1-x2|, free signs": HeadOptions(monotone=False),
    "head |x1-x2|": HeadOptions(),
    "head |x1-x2| and x1*x2": HeadOptions(product=True),
    "head |x1-x2|, 16 hidden": HeadOptions(hidden=16, monotone=False),
}
VIEWS = HeadOptions().views
# A straight curve without bounds: every score is its own ratio.
WIDE = 1e6


@click.command()
@click.option("--weights", default="default", show_default=True, help="Name or path of the weight file.")
@click.option("--manifest", type=click.Path(path_type=Path), default="../shared/data/manifest.csv", show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Folder for prepared images and codes.")
@click.option("--rounds", default=50, show_default=True, help="Draws of patients for the intervals of the AUC.")
@click.option("--seed", default=0, show_default=True, help="Of pairs, augmentation and heads.")
def main(weights: str, manifest: Path, cache: Path, rounds: int, seed: int) -> None:
    """Fit every form of the head and every fusion, and measure them on validation and test patients."""
    encoder = Encoder.load(weights)
    bits = encoder.bits // 2
    rows = [row for row in trusted(read_manifest(manifest)) if row.view != LATERAL]
    learned = _learned_from(encoder, rows, cache, seed)
    held_out = {split: _encoded(encoder, rows, split, cache) for split in (Split.VAL, Split.TEST)}
    results: list[Row] = []
    table = Table("split", "dataset", "compared by", "AUC", "95 %", "TPR@1e-2", "P@1", box=None)
    for name, verifier in {"": None, **learned}.items():
        pairs, population = pairs_by_kind(by_kind(*held_out[Split.VAL]), verifier)
        found = worth(pairs, population, SHARES, bits)
        label = f"cosine + code + {name}" if name else "cosine + code"
        conditions = f"{encoder.model_id}, val, {len(SHARES)} kinds of patients, fitted and judged on different ones"
        results.append(Row("verification", f"{label}, log loss", found.log_loss, "nats", conditions))
        results.append(Row("verification", f"{label}, TPR@1e-2", found.true_positive_rate, "share", conditions))
        fused = fit_calibration(pairs, SHARES, encoder.model_id, bits, population)
        for method, comparer in _methods(name, fused, verifier):
            for split, (mine, codes) in held_out.items():
                for cohort in cohorts(mine):
                    if cohort.name == "all":
                        continue
                    figures = _measured(method, comparer, mine, codes, cohort, rounds)
                    table.add_row(split.value, cohort.name, method, *_shown(figures))
                    results += _rows(figures, f"{encoder.model_id}, {split.value}, {cohort.name}")
    Console(width=140).print(table)
    append_rows("verification", results)


def _learned_from(encoder: Encoder, rows: list[ImageRow], cache: Path, seed: int) -> dict[str, Verifier]:
    """Heads of every form, from the training patients of the datasets that may be learned from."""
    train = [row for row in rows if row.split is Split.TRAIN]
    chosen = images_to_learn_from(train, HeadOptions().images, seed)
    views = augmented_views(encoder, prepared_images(train, cache)[chosen], VIEWS, seed)
    mine = [train[i] for i in chosen]
    return {name: train_head(views, mine, options, seed).verifier() for name, options in FORMS.items()}


def _encoded(encoder: Encoder, rows: list[ImageRow], split: Split, cache: Path) -> tuple[list[ImageRow], Codes]:
    mine = [row for row in rows if row.split is split]
    return mine, codes_of(encoder, prepared_images(mine, cache), f"{split.value} patients", cache)


def _methods(name: str, fused: Calibration, verifier: Verifier | None) -> Iterator[tuple[str, Comparer]]:
    """Each similarity alone, and the fusion; without the bounds that a verdict needs, as they tie the most alike."""
    unbounded = replace(fused, scores=(-WIDE, WIDE), log_ratios=(-WIDE, WIDE))
    if verifier is None:
        yield "cosine", Comparer(replace(unbounded, fusion=Fusion(1.0)), None)
        yield "code", Comparer(replace(unbounded, fusion=Fusion(0.0, -1.0)), None)
        yield "cosine + code", Comparer(unbounded, None)
    else:
        yield name, Comparer(replace(unbounded, fusion=Fusion(0.0, 0.0, 1.0)), verifier)
        yield f"cosine + code + {name}", Comparer(unbounded, verifier)


def _measured(
    method: str, comparer: Comparer, rows: list[ImageRow], codes: Codes, cohort: Cohort, rounds: int
) -> Figures:
    patients = numbered([row.patient for row in rows])
    similarity = Calibrated(method, codes, patients, comparer).similarity(cohort.positions)
    return evaluate(method, similarity, cohort, rounds)[0]


def _shown(figures: Figures) -> tuple[str, ...]:
    interval = f"{figures.auc_low:.3f} to {figures.auc_high:.3f}"
    return f"{figures.auc:.3f}", interval, f"{figures.tpr_at_fpr_1e2:.3f}", f"{figures.precision_at_1:.3f}"


def _rows(figures: Figures, conditions: str) -> list[Row]:
    measured = {
        "AUC": figures.auc,
        "TPR@1e-2": figures.tpr_at_fpr_1e2,
        "P@1": figures.precision_at_1,
    }
    return [
        Row("verification", f"{figures.method}, {name}", value, "share", conditions)
        for name, value in measured.items()
        if not math.isnan(value)
    ]


if __name__ == "__main__":
    main()
