"""What the gate lets through, kind by kind, and what it does for matching.

Run it with `python -m benchmarks.gate`. Frontal chests of validation and test patients should pass, as should mirrored
ones, and turned and inverted ones after they were put right; laterals, other body parts, other modalities and spoiled
chests should not. The drawn body parts come from another generator than those that the gate learned from, and the
spoiled chests are of test patients.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.gate_matching import Informativeness, Matching, matching
from benchmarks.record import Row, append_rows
from benchmarks.wrong_images import Asked, asked_images
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.trusted import trusted
from retrieval.encoder import Encoder
from retrieval.runtime import computes_bfloat16, place_of
from retrieval.training.gate import fit_gate
from retrieval.training.gate_material import gate_material
from retrieval.weights import Loaded, load_weights

SHARED = Path(__file__).parents[2] / "shared" / "data"
LEARNED_FROM = ("hannover", "kermany", "nih")
_TILE, _COLUMNS = 160, 10


@dataclasses.dataclass(frozen=True)
class Answer:
    """How the gate judged one kind.

    Attributes:
        passed: share let through. righted: share put right as they had to be, where they had to be.
        wronged: share turned or inverted although they should not have been, or in another way than they should.
        told_right: share of the others told the right reason. usual: the usual reason.
    """

    asked: Asked
    passed: float
    righted: float
    wronged: float
    told_right: float
    usual: str


@click.command()
@click.option("--weights", default="default", show_default=True, help="Name or file of the network.")
@click.option("--refit", is_flag=True, help="Fit the gate anew with the present code instead of the stored one.")
@click.option("--data", default=SHARED, show_default="../shared/data", type=click.Path(path_type=Path, exists=True))
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for prepared images; else a temporary one.")
@click.option("--most", default=400, show_default=True, help="Images of one kind at most.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write the wrongly judged images to this PNG.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/gate.csv.")
def main(
    weights: str, refit: bool, data: Path, cache: Path | None, most: int, sheet: Path | None, record: bool
) -> None:
    """Ask the gate about every kind of image, and compare matching with and without it."""
    with tempfile.TemporaryDirectory(prefix="lungprint-gate-") as scratch:
        folder = cache or Path(scratch)
        rows = read_manifest(data / "manifest.csv")
        encoder = _encoder(load_weights(weights), rows, folder, refit)
        answers, wrong = _answers(encoder, asked_images(rows, data / "dicom", folder, most, np.random.default_rng(3)))
        val = [row for row in trusted(rows) if row.split is Split.VAL and row.dataset in LEARNED_FROM]
        val = [row for row in val if sum(other.patient == row.patient for other in val) > 1]
        found, informativeness = matching(encoder, val, np.array(prepared_images(val, folder, quiet=True)))
    _show(answers, found, informativeness)
    if sheet is not None and wrong:
        _draw(wrong, sheet)
        Console().print(f"{len(wrong)} wrongly judged images are in {sheet}")
    if record:
        conditions = f"network {encoder.model_id}, gate {'fitted anew' if refit else 'as stored'}"
        Console().print(f"appended to {append_rows('gate', _rows(answers, found, informativeness, conditions))}")


def _encoder(loaded: Loaded, rows: Sequence[ImageRow], cache: Path, refit: bool) -> Encoder:
    place = place_of("auto")
    if refit:
        used = [row for row in rows if row.dataset in LEARNED_FROM]
        train, val = ([row for row in used if row.split is split] for split in (Split.TRAIN, Split.VAL))
        gate = fit_gate(loaded.network, gate_material(train, val, cache, seed=7))
        loaded = dataclasses.replace(loaded, gate=gate)
    return Encoder(loaded, place, computes_bfloat16(place))


def _answers(encoder: Encoder, kinds: Iterable[Asked]) -> tuple[list[Answer], list[tuple[npt.NDArray[np.uint8], str]]]:
    answers, wrong = [], []
    for asked in kinds:
        encoded = encoder.encode(np.ascontiguousarray(asked.images))
        reasons = encoded.gate.reason
        righted = np.mean([done == asked.righting for done in encoded.righting])
        wronged = np.mean([done not in (None, asked.righting) for done in encoded.righting])
        refused = [reason for reason in reasons if reason is not None]
        usual = Counter(refused).most_common(1)[0][0] if refused else ""
        right = refused.count(asked.reason) / len(refused) if refused and asked.reason else float("nan")
        passed = 1 - len(refused) / len(reasons)
        answers.append(Answer(asked, passed, float(righted), float(wronged), right, usual))
        wrong += [
            (image, f"{asked.name}: {reason or str(done or 'passed')}")
            for image, reason, done in zip(asked.images, reasons, encoded.righting, strict=True)
            if (reason is None, done) != (asked.reason is None, asked.righting)
        ]
    return answers, wrong


def _show(answers: Sequence[Answer], found: Sequence[Matching], informativeness: Informativeness) -> None:
    table = Table(title="Share that the gate lets through, and of the others the share told the right reason")
    for column in (
        "kind",
        "origin",
        "images",
        "should pass",
        "passed",
        "put right",
        "wrongly",
        "told right",
        "usual reason",
    ):
        table.add_column(column)
    for answer in answers:
        asked = answer.asked
        right = "" if np.isnan(answer.told_right) else f"{answer.told_right:.2f}"
        expected = "no" if asked.reason is not None else "yes" if asked.righting is None else "put right"
        righted = "" if asked.righting is None else f"{answer.righted:.3f}"
        shares = (f"{answer.passed:.3f}", righted, f"{answer.wronged:.3f}", right)
        table.add_row(asked.name, asked.origin, str(len(asked.images)), expected, *shares, answer.usual)
    lines = Table(title="Matching of validation patients with images blurred by so many of 320 pixels")
    for column in ("probes", "share", "AUC", "P@1", "median cosine of one person"):
        lines.add_column(column)
    for line in found:
        figures = (line.share, line.auc, line.precision_at_1, line.own_cosine)
        lines.add_row(line.probes, *(f"{figure:.3f}" for figure in figures))
    console = Console(width=150)
    console.print(table, lines)
    console.print(
        f"rank correlation of detail with the best cosine to the own patient, {informativeness.images} clean images: "
        f"{informativeness.correlation:.2f}"
    )


def _rows(
    answers: Sequence[Answer], found: Sequence[Matching], informativeness: Informativeness, conditions: str
) -> list[Row]:
    rows = []
    for answer in answers:
        asked, given = answer.asked, f"{len(answer.asked.images)} images ({answer.asked.origin}), {conditions}"
        rows.append(Row("gate", f"{asked.name}: passed", answer.passed, "share", given))
        rows.append(Row("gate", f"{asked.name}: put right wrongly", answer.wronged, "share", given))
        if asked.righting is not None:
            rows.append(Row("gate", f"{asked.name}: put right", answer.righted, "share", given))
        if not np.isnan(answer.told_right):
            rows.append(
                Row("gate", f"{asked.name}: told the right reason", answer.told_right, "share of refused", given)
            )
    for line in found:
        for name, value in (("AUC", line.auc), ("P@1", line.precision_at_1), ("own cosine", line.own_cosine)):
            rows.append(
                Row("gate", f"matching, {line.probes}: {name}", value, "", f"share {line.share:.3f}, {conditions}")
            )
    given = f"{informativeness.images} images, {conditions}"
    rows.append(Row("gate", "detail against own cosine", informativeness.correlation, "rank correlation", given))
    return rows


def _draw(wrong: Sequence[tuple[npt.NDArray[np.uint8], str]], path: Path) -> None:
    lines = -(-len(wrong) // _COLUMNS)
    sheet = np.zeros((lines * (_TILE + 14), _COLUMNS * _TILE), dtype=np.uint8)
    for number, (image, text) in enumerate(wrong):
        top, left = number // _COLUMNS * (_TILE + 14), number % _COLUMNS * _TILE
        sheet[top : top + _TILE, left : left + _TILE] = cv2.resize(image, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        cv2.putText(sheet, text[:34], (left + 2, top + _TILE + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (255,), 1)
    if not cv2.imwrite(str(path), sheet):
        raise click.ClickException(f"{path} cannot be written; give a file whose name ends with .png.")


if __name__ == "__main__":
    main()
