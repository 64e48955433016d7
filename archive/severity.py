"""How much depends on an alert: its class, from what it says and how sure it is."""

from __future__ import annotations

from enum import StrEnum

from archive.states import AlertKind

# From here on, an error is likelier than none.
_LIKELIER = 0.5


class Severity(StrEnum):
    """Classes of alerts, the gravest first.

    CRITICAL: a doctor may be reading the image of another person, and the system knows whose, or the pixels prove it.
    HIGH: a doctor may be reading the image of another person, more likely than not.
    MEDIUM: the same, less likely than not; or, more likely than not, a history that is torn apart.
    LOW: everything else.
    """

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def severity(kind: AlertKind, probability: float, is_across_patients: bool) -> Severity:
    """The class of an alert.

    Args:
        probability: that the alert is right, in [0, 1].
        is_across_patients: it names another patient than the one on the label.
    """
    likely = probability >= _LIKELIER
    finding = kind.finding
    if finding is AlertKind.DUPLICATE_IMAGE:
        return Severity.CRITICAL if is_across_patients else Severity.LOW
    if finding is AlertKind.WRONG_PATIENT:
        return Severity.CRITICAL if likely else Severity.MEDIUM
    if finding is AlertKind.PRIOR_MISMATCH:
        return Severity.HIGH if likely else Severity.MEDIUM
    return Severity.MEDIUM if likely else Severity.LOW
