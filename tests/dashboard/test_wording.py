"""Names, probabilities and explanations in words."""

from __future__ import annotations

from typing import Any

import pytest

from archive.models import Alert, Patient
from archive.states import AlertKind
from dashboard.wording import dicom_date, headline, meaning, percent, person_name, reasons


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Smith^John^A", "Smith, John A"),
        ("Müller^Jürgen^^Dr.^MD", "Müller, Jürgen (Dr., MD)"),
        ("Иванова^Анна^Петровна", "Иванова, Анна Петровна"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田 太郎)"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "ﾔﾏﾀﾞ ﾀﾛｳ (山田 太郎)"),
        ("Wang^XiaoDong=王^小东", "Wang, XiaoDong (王 小东)"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "Hong, Gildong (洪 吉洞)"),
        ("김희중", "김희중"),
        ("Люкceмбypг", "Люкceмбypг"),
        ("=王^小东", "王 小东"),
        ("==やまだ^たろう", "やまだ たろう"),
        ("SMITH JOHN", "SMITH JOHN"),
        ("^John", "John"),
        ("", "no name"),
        ("^^^^", "no name"),
    ],
)
def test_names_are_readable(stored: str, shown: str) -> None:
    assert person_name(stored) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "< 0.1 %"), (0.004, "0.4 %"), (0.5, "50 %"), (0.991, "99.1 %"), (0.9996, "> 99.9 %"), (1.0, "> 99.9 %")],
)
def test_probability_never_claims_certainty(value: float, shown: str) -> None:
    assert percent(value).replace("\u00a0", " ") == shown


def test_dates_are_readable_and_odd_ones_are_left() -> None:
    assert [dicom_date(value) for value in ("19700131", "1970", "")] == ["1970-01-31", "1970", ""]


def alert(kind: AlertKind, evidence: dict[str, Any], other: bool = True) -> Alert:
    """An alert about P labelled Smith, and Jones."""
    return Alert(
        kind=kind,
        probability=0.5,
        evidence=evidence,
        patient=Patient(patient_id="P", name="Smith"),
        other_patient=Patient(patient_id="Q", name="Jones") if other else None,
    )


def test_every_kind_has_a_headline_and_a_meaning() -> None:
    for kind in AlertKind:
        for other in (True, False):
            one = alert(kind, {}, other)
            assert "Smith [P]" in headline(one)
            assert "50" in meaning(one)


def test_agreeing_priors_speak_for_the_label() -> None:
    own = {"images": 1, "log_lr": 2.0, "best_probability": 0.92}
    found = reasons(alert(AlertKind.DUPLICATE_RECORD, {"own": own, "other": {"images": 1, "best_probability": 0.96}}))
    assert [(reason.text.split(";")[0], reason.weight) for reason in found] == [
        ("Looks like the earlier image of Smith", "for"),
        ("Looks like the image of Jones [Q]", "against"),
    ]


@pytest.mark.parametrize(
    ("cause", "says"), [("same_pixels", "exactly the same pixel"), ("uid_conflict", "Other bytes")]
)
def test_facts_are_explained_without_a_comparison(cause: str, says: str) -> None:
    (reason,) = reasons(alert(AlertKind.DUPLICATE_IMAGE, {"cause": cause, "own": None}))
    assert says in reason.text
