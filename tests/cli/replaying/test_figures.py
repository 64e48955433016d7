"""What an alert is worth, and the figures and tables that follow, worked out by hand on a small plan."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest

from archive.budget import RecordRule
from archive.states import AlertKind, ImageState
from cli.demonstration.filing import Record, instance_uid
from cli.demonstration.films import Taken
from cli.demonstration.run import Delivery
from cli.demonstration.stream import Film, Planted, Shot
from cli.outcome import InputNotUsable
from cli.replaying.figures import GROUPS, MEASURED, SWAPS, as_shown, figures, galleries
from cli.replaying.kinds import ErrorKind
from cli.replaying.outcome import Raised, RoundOutcome, Shown, Truth, ranked
from cli.replaying.plan import Plan
from cli.replaying.tables import read_csv, tables, write_csv
from dicom_node.wrap import PatientHeader

ROWS: tuple[tuple[str, str, Planted, ErrorKind | None], ...] = (
    ("p", "p", Planted.NOTHING, None),
    ("q", "q", Planted.NOTHING, None),
    ("p", "q", Planted.WRONG_PATIENT, ErrorKind.WITH_PRIORS),
    ("q", "n", Planted.WRONG_PATIENT, ErrorKind.WITHOUT_PRIORS),
    ("r", "r", Planted.NOTHING, None),
    ("r", "r2", Planted.DUPLICATE_RECORD, ErrorKind.SECOND_RECORD),
    ("s", "s", Planted.NOTHING, None),
    ("s", "t", Planted.DUPLICATE_IMAGE, ErrorKind.RESENT),
    ("t", "t", Planted.NOTHING, None),
    ("n", "n", Planted.NOTHING, None),
    ("p", "p", Planted.NOTHING, None),
)


def small_plan() -> Plan:
    shots = []
    for number, (person, label, planted, _) in enumerate(ROWS):
        content = Taken(Path(f"{person}{6 if person == 's' else number}.png"), "", None, "PA")
        shots.append(Shot(number, Film(person, "d", False, content), label, planted))
    records = {shot.label: Record(PatientHeader(patient_id=shot.label.upper())) for shot in shots}
    delivery = Delivery(shots, records, [datetime.datetime(2024, 1, 1)] * len(shots), 5)
    return Plan(delivery, {number: row[3] for number, row in enumerate(ROWS) if row[3] is not None})


def alert(kind: AlertKind, about: int, other: str | None = None, **more: Any) -> dict[str, Any]:
    """An alert about a shot, as `archive.alerts` lists it."""
    return {
        "kind": kind,
        "probability": 0.5,
        "state": "open",
        "sop_instance_uid": instance_uid(5, about),
        "patient_id": ROWS[about][1].upper(),
        "other_patient_id": other,
        **more,
    }


@pytest.mark.parametrize(
    ("kind", "about", "other", "error", "near"),
    [
        (AlertKind.WRONG_PATIENT, 2, "P", 2, False),
        (AlertKind.WRONG_PATIENT, 2, "S", 2, False),
        (AlertKind.PRIOR_MISMATCH, 2, None, 2, False),
        (AlertKind.DUPLICATE_RECORD, 2, "P", None, True),
        (AlertKind.WRONG_PATIENT, 0, "Q", None, True),
        (AlertKind.WRONG_PATIENT, 0, "S", None, False),
        (AlertKind.PRIOR_MISMATCH, 1, None, None, True),
        (AlertKind.PRIOR_MISMATCH, 9, None, 3, False),
        (AlertKind.WRONG_PATIENT, 9, "S", None, True),
        (AlertKind.PRIOR_MISMATCH, 10, None, None, False),
        (AlertKind.DUPLICATE_RECORD, 3, "Q", 3, False),
        (AlertKind.DUPLICATE_RECORD, 1, "N", 3, False),
        (AlertKind.WRONG_PATIENT, 3, "Q", 3, False),
        (AlertKind.DUPLICATE_RECORD, 5, "R", 5, False),
        (AlertKind.DUPLICATE_RECORD, 4, "R2", 5, False),
        (AlertKind.DUPLICATE_RECORD, 4, "P", None, False),
        (AlertKind.WRONG_PATIENT, 5, "R", None, False),
        (AlertKind.DUPLICATE_IMAGE, 7, "S", 7, False),
        (AlertKind.DUPLICATE_IMAGE, 6, "T", 7, False),
        (AlertKind.DUPLICATE_IMAGE, 4, "P", None, False),
        (AlertKind.WRONG_PATIENT, 8, "P", None, True),
    ],
)
def test_an_alert_is_right_if_it_says_what_was_planted(
    kind: AlertKind, about: int, other: str | None, error: int | None, near: bool
) -> None:
    raised = Truth(small_plan()).of(alert(kind, about, other))
    assert (raised.error, raised.near) == (error, near)


def test_what_the_budget_holds_back_is_known() -> None:
    truth = Truth(small_plan())
    assert truth.of(alert(AlertKind.WRONG_PATIENT, 2, "P", state="held")).held
    assert not truth.of(alert(AlertKind.WRONG_PATIENT, 2, "P")).held


def played() -> RoundOutcome:
    """100 studies: both swaps reported, one of them late; a false alert first; the pixels as a fact."""
    images = [Shown(row[3], ImageState.MATCHED, "", 0.1) for row in ROWS]
    images += [Shown(None, ImageState.MATCHED, "", 0.1)] * 89 + [Shown(None, ImageState.UNSUITABLE, "", None)]
    alerts = [
        Raised(AlertKind.DUPLICATE_IMAGE, 1.0, False, 7, False),
        Raised(AlertKind.WRONG_PATIENT, 0.9, False, None, False),
        Raised(AlertKind.WRONG_PATIENT, 0.8, False, 2, False),
        Raised(AlertKind.DUPLICATE_RECORD, 0.7, True, 3, False),
    ]
    return RoundOutcome(images, alerts, {10_000: [alerts[:2], alerts]})


def test_figures_by_hand() -> None:
    lines = {(f.gallery, f.budget, f.kind): f for f in figures([played()], (10.0, 20.0, 30.0))}
    swaps = [lines[MEASURED, budget, SWAPS.title] for budget in (10.0, 20.0, 30.0)]
    assert [(f.planted, f.found, f.missed) for f in swaps] == [(1, 0, 1), (1, 1, 0), (1, 1, 0)]
    assert [f.false_per_1000 for f in swaps] == [10.0, 10.0, 10.0]
    assert [f.precision for f in swaps] == [0.0, 0.5, 0.5]
    new = lines[MEASURED, 30.0, GROUPS[2].title]
    assert (new.found, new.planted) == (1, 1)
    records = lines[MEASURED, 30.0, "second records"]
    assert (records.found, records.planted) == (0, 1)
    assert all(lines[MEASURED, b, GROUPS[-1].title].found == 1 for b in (10.0, 20.0, 30.0))
    assert lines[MEASURED, 10.0, GROUPS[-1].title].false_per_1000 == 0.0


def test_rounds_share_one_list() -> None:
    lines = {(f.gallery, f.budget, f.kind): f for f in figures([played(), played()], (15.0,))}
    swaps = lines[MEASURED, 15.0, SWAPS.title]
    assert (swaps.planted, swaps.found) == (2, 1)


def test_draws_of_a_simulation_are_pooled() -> None:
    assert galleries([played()]) == [MEASURED, 10_000]
    lines = {(f.gallery, f.budget, f.kind): f for f in figures([played()], (20.0,))}
    simulated = lines[10_000, 20.0, SWAPS.title]
    assert (simulated.planted, simulated.found) == (2, 1)
    assert lines[10_000, 20.0, GROUPS[-1].title].found == 2


def test_the_systems_own_list_is_what_it_did_not_hold_back() -> None:
    shown = as_shown([played()])
    assert (shown.studies, shown.shown, shown.right) == (100, 2, 1)


def test_a_round_survives_its_file(tmp_path: Path) -> None:
    played().save(tmp_path / "round.json")
    assert RoundOutcome.load(tmp_path / "round.json") == played()


def test_figures_survive_their_csv(tmp_path: Path) -> None:
    lines = figures([played()])
    write_csv(lines, tmp_path / "replay.csv")
    again = read_csv(tmp_path / "replay.csv")
    assert [(f.gallery, f.budget, f.kind, f.planted, f.found) for f in again] == [
        (f.gallery, f.budget, f.kind, f.planted, f.found) for f in lines
    ]
    assert list(tables(again)) == list(tables(lines))
    assert "simulation,10000" in (tmp_path / "replay.csv").read_text()
    assert math.isnan(again[0].precision) == math.isnan(lines[0].precision)


def test_simulated_rows_say_so() -> None:
    found, cost, larger = tables(figures([played()]))
    assert not any("simulation" in cell for table in (found, cost) for row in table.rows for cell in row)
    assert ["simulation" in row[0] for row in larger.rows] == [False] * 3 + [True] * 3


def test_a_file_that_is_no_replay_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputNotUsable, match="no CSV of `lungprint replay`"):
        read_csv(tmp_path / "x.csv")


@pytest.mark.parametrize(("record_weight", "right"), [(1.0, 1), (0.5, 1), (0.2, 0)])
def test_a_second_record_counts_by_its_weight(record_weight: float, right: int) -> None:
    images = [Shown(None, ImageState.MATCHED, "", None)] * 50
    record = Raised(AlertKind.DUPLICATE_RECORD, 0.9, False, 3, False)
    label = Raised(AlertKind.WRONG_PATIENT, 0.3, False, None, False, 1)
    listed = ranked([record, label], len(images), RecordRule(weight=record_weight))
    assert [int(listed.error[at] == 3) for at in listed.on_list(20)] == [right]
