from __future__ import annotations

import pytest

from archive.severity import Severity, severity
from archive.states import AlertKind


@pytest.mark.parametrize(
    ("kind", "probability", "across", "expected"),
    [
        (AlertKind.WRONG_PATIENT, 0.5, True, Severity.CRITICAL),
        (AlertKind.WRONG_PATIENT, 0.49, True, Severity.MEDIUM),
        (AlertKind.PRIOR_MISMATCH, 0.9, False, Severity.HIGH),
        (AlertKind.PRIOR_MISMATCH, 0.1, False, Severity.MEDIUM),
        (AlertKind.DUPLICATE_RECORD, 0.9, True, Severity.MEDIUM),
        (AlertKind.DUPLICATE_RECORD, 0.1, True, Severity.LOW),
        (AlertKind.DUPLICATE_IMAGE, 1.0, True, Severity.CRITICAL),
        (AlertKind.DUPLICATE_IMAGE, 1.0, False, Severity.LOW),
        (AlertKind.AUDIT_WRONG_PATIENT, 0.9, True, Severity.CRITICAL),
    ],
)
def test_classes_follow_from_what_is_said_and_how_surely(
    kind: AlertKind, probability: float, across: bool, expected: Severity
) -> None:
    assert severity(kind, probability, across) is expected
