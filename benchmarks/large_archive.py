"""An archive of many synthetic patients, filed straight into a database, with errors whose place is known."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert
from sqlalchemy.orm import DeclarativeBase

from archive.database import open_database
from archive.models import Code, Instance, Patient, Series, Study
from archive.states import ImageState
from config.paths import data_dir
from config.settings import load_settings
from retrieval.calibration import Calibration, calibration_beside
from retrieval.evaluation.pairs import make_pairs
from retrieval.normalisation import Population
from retrieval.training.calibrate import fit_calibration
from retrieval.weights.card import find_weights, model_id_of, read_card

DIRECTIONS = 48
SPREAD = 0.45
_FIRST_DAY = datetime(2010, 1, 1, tzinfo=UTC)
_FIRST_BIRTHDAY, _BIRTHDAYS = datetime(1930, 1, 1, tzinfo=UTC), 60 * 365
_CHUNK = 5000
# Persons on whom the calibration is fitted.
CALIBRATED = 400
# Share of entries of a second record's header that differ from the first's.
HEADER_ERRORS = 0.02


@dataclass(frozen=True, eq=False)
class LargeArchive:
    """What was filed, by row (the image with id row + 1).

    Attributes:
        shown, filed: int64 (n,), the person shown and the patient's row under whom the image is filed.
        born: by patient's row, sex and birth date in the header; a second record says what the first says, but for
            errors.
        embedding: float32 (n, d), of unit length. code: uint8 (n, bits/8).
        misfiled: rows filed under another patient. doubled: persons whose last image is filed under a second record.
        again: rows with the pixels of an earlier row of another patient.
    """

    shown: NDArray[np.int64]
    filed: NDArray[np.int64]
    born: list[tuple[str, str]]
    embedding: NDArray[np.float32]
    code: NDArray[np.uint8]
    misfiled: NDArray[np.int64]
    doubled: NDArray[np.int64]
    again: NDArray[np.int64]


def draw(images: int, dim: int, bits: int, errors: float, seed: int) -> LargeArchive:
    """Patients with 1 to 8 images, 2.5 on average; a share `errors` of images misfiled, filed again, and of persons
    with a second record.

    People differ in 48 directions of the embedding, and an image adds 0.45 standard deviations of its own: cosines of
    0.83 on average for one person and of 0 with a deviation of 0.14 for two. Birth dates lie in 60 years.
    """
    rng = np.random.default_rng(seed)
    counts = np.minimum(rng.geometric(0.4, images), 8)
    shown = np.repeat(np.arange(1, images + 1), counts)[:images]
    rng.shuffle(shown)
    persons = int(shown.max())
    centres = rng.standard_normal((persons + 1, DIRECTIONS), np.float32)
    turned = np.linalg.qr(rng.normal(size=(dim, DIRECTIONS)))[0].T.astype(np.float32)
    vectors = (centres[shown] + SPREAD * rng.standard_normal((images, DIRECTIONS), np.float32)) @ turned
    chosen = rng.permutation(images)
    few = max(1, int(errors * images))
    odd = chosen[chosen % 2 == 1]
    again = np.sort(odd[:few])
    misfiled = np.sort(np.setdiff1d(chosen[: 3 * few], np.concatenate([again, again - 1]), assume_unique=True)[:few])
    filed = shown.copy()
    filed[misfiled] = rng.permutation(shown[misfiled])
    misfiled = misfiled[filed[misfiled] != shown[misfiled]]
    source = again - 1
    vectors[again] = vectors[source]
    shown[again] = shown[source]
    touched = np.concatenate([again, source, misfiled])
    again = again[filed[again] != filed[source]]
    counted = np.bincount(shown, minlength=persons + 1)
    counted[np.concatenate([shown[touched], filed[touched]])] = 0
    several = np.flatnonzero(counted >= 3)
    doubled = np.sort(rng.choice(several, min(few, len(several)), replace=False))
    last = np.array([np.flatnonzero(shown == person)[-1] for person in doubled])
    filed[last] = persons + 1 + np.arange(len(doubled))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    planes = rng.normal(size=(dim, bits)).astype(np.float32)
    code = np.packbits(vectors @ planes > 0, axis=1)
    return LargeArchive(shown, filed, _born(rng, persons, doubled), vectors, code, misfiled, doubled, again)


def _born(rng: np.random.Generator, persons: int, doubled: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Sex and birth date by patient's row: of persons 0 to `persons`, then of the second records."""
    sex = np.array(["F", "M"])[rng.integers(2, size=persons + 1)]
    days = rng.integers(_BIRTHDAYS, size=persons + 1)
    again = np.append(np.arange(persons + 1), doubled)
    sex, days = sex[again], days[again]
    wrong = (rng.random((2, len(again))) < HEADER_ERRORS) & (np.arange(len(again)) > persons)
    sex[wrong[0]] = np.where(sex[wrong[0]] == "F", "M", "F")
    days[wrong[1]] = rng.integers(_BIRTHDAYS, size=int(wrong[1].sum()))
    dates = [f"{_FIRST_BIRTHDAY + timedelta(days=int(day)):%Y%m%d}" for day in days]
    return list(zip(sex.tolist(), dates, strict=True))


def fitted(drawn: LargeArchive, model_id: str) -> Calibration:
    """What `lungprint calibrate` fits on the persons of some images of this crowd."""
    rows = np.flatnonzero(np.isin(drawn.shown, np.unique(drawn.shown)[:CALIBRATED]))
    patients = np.unique(drawn.shown[rows], return_inverse=True)[1].astype(np.int64)
    population = Population.measured([(drawn.embedding[rows], patients)])
    pairs = make_pairs(drawn.embedding[rows], drawn.code[rows], patients, ["PA"] * len(rows), population=population)
    return fit_calibration({"crowd": pairs}, {"crowd": 1.0}, model_id, drawn.code.shape[1] * 4, population)


def file(drawn: LargeArchive, root: Path) -> None:
    """Make a data folder whose weights are the shipped ones with a calibration for this crowd, and file it there."""
    folder = data_dir(root)
    folder.create()
    shipped = find_weights("default")
    weights = root / shipped.name
    for path in (shipped, shipped.with_suffix(".toml")):
        shutil.copy(path, weights.with_suffix(path.suffix))
    model_id = model_id_of(weights)
    fitted(drawn, model_id).save(calibration_beside(weights))
    (root / "lungprint.toml").write_text(f'[encoder]\nweights = "{weights}"\n', encoding="utf-8")
    database = open_database(load_settings(root, environ={}), folder)
    database.migrate()
    with database.engine.begin() as connection:
        _fill(connection, drawn, model_id)
    database.close()


@contextmanager
def filed(drawn: LargeArchive, keep: Path | None) -> Iterator[Path]:
    """A data folder with the archive: a scratch one, or `keep`, which is used again where it is."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="lungprint-archive-") as scratch:
            file(drawn, Path(scratch) / "data")
            yield Path(scratch) / "data"
    else:
        if not keep.exists():
            file(drawn, keep)
        yield keep


def sizes() -> tuple[int, int]:
    """Length of an embedding and bits of a code of the shipped network."""
    card = read_card(find_weights("default"))
    return card.dim, card.bits


def _fill(connection: Connection, drawn: LargeArchive, model_id: str) -> None:
    patients = np.unique(drawn.filed).tolist()
    _insert(connection, Patient, [_patient(number, *drawn.born[number]) for number in patients])
    again = set(drawn.again.tolist())
    for start in range(0, len(drawn.filed), _CHUNK):
        rows = range(start, min(start + _CHUNK, len(drawn.filed)))
        _insert(connection, Study, [_study(row, int(drawn.filed[row])) for row in rows])
        _insert(
            connection,
            Series,
            [{"id": row + 1, "series_instance_uid": f"2.{row}", "study_pk": row + 1} for row in rows],
        )
        _insert(connection, Instance, [_image(row, int(drawn.filed[row]), row - (row in again)) for row in rows])
        _insert(connection, Code, [_code(row, drawn, model_id) for row in rows])


def _insert(connection: Connection, table: type[DeclarativeBase], rows: list[dict[str, object]]) -> None:
    connection.execute(insert(table), rows)


def _patient(number: int, sex: str, birth_date: str) -> dict[str, object]:
    return {"id": number, "patient_id": f"P{number:07}", "birth_date": birth_date, "sex": sex}


def _study(row: int, patient: int) -> dict[str, object]:
    taken = _FIRST_DAY + timedelta(hours=row * 7919 % 130_000)
    return {"id": row + 1, "study_instance_uid": f"1.{row}", "patient_pk": patient, "acquired_at": taken}


def _image(row: int, patient: int, pixels: int) -> dict[str, object]:
    return {
        "id": row + 1,
        "sop_instance_uid": f"3.{row}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "series_pk": row + 1,
        "patient_pk": patient,
        "file_digest": f"{row:064x}",
        "size": 1,
        "state": ImageState.MATCHED,
        "pixel_sha256": f"{pixels:064x}",
        "matched_at": _FIRST_DAY,
    }


def _code(row: int, drawn: LargeArchive, model_id: str) -> dict[str, object]:
    return {
        "instance_pk": row + 1,
        "model_id": model_id,
        "embedding": drawn.embedding[row].astype("<f4").tobytes(),
        "code": drawn.code[row].tobytes(),
        "attention": bytes(36),
        "attention_rows": 6,
    }
