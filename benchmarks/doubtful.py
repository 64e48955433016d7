"""Whether a number stands for one person: pairs of images under it beside pairs of strangers, by methods of any kind.

Run as: python -m benchmarks.doubtful --frozen IMAGENET.safetensors --cache FOLDER

The children of `kermany` with pneumonia are numbered as persons, healthy ones by file names of an export. Two images
under one number of the first kind look more alike than strangers' to plain pixels, to an ImageNet network and to the
shipped weights; under one of the second kind a part of the pairs does. All of the former are ill and all of the latter
are healthy, which alone would make the latter the easier ones. See `retrieval.data.doubtful`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, append_rows
from retrieval.data.cache import prepared_images
from retrieval.data.doubtful import doubtful
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.encoder import Encoder
from retrieval.evaluation.bootstrap import Interval, interval, patient_draws, repeated
from retrieval.evaluation.comparators import frozen_vectors, pixel_vectors
from retrieval.evaluation.encodings import codes_of
from retrieval.evaluation.pairs import fair_pairs, numbered
from retrieval.evaluation.verification import RankedPairs

DATASET = "kermany"

Vectors = npt.NDArray[np.float32]


def compared(vectors: Vectors, patients: npt.NDArray[np.int64]) -> tuple[float, Interval, float]:
    """How alike images under one number are, beside images under two.

    Args:
        vectors: (n, dim), compared by cosine after their mean is taken off. patients: (n,), numbers from 0.

    Returns:
        AUC, in which every number has one vote; its 95 % interval; and the share of pairs under one number that are
        less alike than half of the pairs under two: 0 for one person, a half for strangers.
    """
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    first, second = fair_pairs(patients, np.zeros(len(patients), np.int64))
    score, same = np.einsum("ij,ij->i", centred[first], centred[second]), patients[first] == patients[second]
    ranked = RankedPairs(score, same, (patients[first], patients[second]))
    draws = repeated(lambda times: (ranked.operating(times).auc(),), patient_draws(int(patients.max()) + 1))
    return ranked.operating().auc(), interval(draws[:, 0]), float((score[same] < np.median(score[~same])).mean())


@click.command()
@click.option("--weights", default="default", show_default=True, help="Name or path of the weight file.")
@click.option("--manifest", type=click.Path(path_type=Path), default="../shared/data/manifest.csv", show_default=True)
@click.option("--frozen", type=click.Path(path_type=Path), required=True, help="ImageNet weights of mobilenet_v2.")
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Folder for prepared images and codes.")
def main(weights: str, manifest: Path, frozen: Path, cache: Path) -> None:
    """Compare images under one number; the trained network only those of patients that it was not trained on."""
    listed = read_manifest(manifest, (DATASET,))
    out, encoder = doubtful(row.patient for row in listed), Encoder.load(weights)
    learned = [row for row in listed if row.split is not Split.TEST]
    test = [row for row in listed if row.split is Split.TEST]
    table = Table("numbers", "patients", "method", "AUC", "95 %", "below the median", box=None)
    results: list[Row] = []
    for name, rows, vectors in (
        ("pixels, train and val", learned, pixel_vectors),
        ("ImageNet, train and val", learned, lambda images: frozen_vectors(images, frozen)),
        (f"{encoder.model_id}, test", test, lambda images: codes_of(encoder, images, "images", cache).embedding),
    ):
        for group, mine in (("of persons", _of_persons(rows)), ("of an export", [r for r in rows if r.patient in out])):
            patients = numbered([row.patient for row in mine])
            auc, span, below = compared(vectors(prepared_images(mine, cache)), patients)
            count = str(patients.max() + 1)
            table.add_row(group, count, name, f"{auc:.3f}", f"{span.low:.3f} to {span.high:.3f}", f"{below:.0%}")
            conditions = f"{DATASET}, numbers {group}, {count} patients, {name}"
            figures = {"AUC": auc, "AUC, 95 % from": span.low, "AUC, 95 % to": span.high, "below the median": below}
            results += [Row("doubtful", what, value, "share", conditions) for what, value in figures.items()]
    Console(width=120).print(table)
    append_rows("doubtful", results)


def _of_persons(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """Images of children with pneumonia who have several."""
    images = Counter(row.patient for row in rows)
    return [row for row in rows if images[row.patient] > 1 and row.finding != "no_finding"]


if __name__ == "__main__":
    main()
