"""The states that things in the archive pass through, and which steps between them are allowed."""

from __future__ import annotations

from enum import StrEnum

from config.errors import LungprintError


class ImageState(StrEnum):
    """Where an image is on its way."""

    RECEIVED = "RECEIVED"
    ENCODED = "ENCODED"
    MATCHED = "MATCHED"
    UNSUITABLE = "UNSUITABLE"
    FAILED = "FAILED"


# FAILED is a dead letter: it leaves only when someone asks for another try. A MATCHED image goes back when other
# bytes take its place, and is set aside when it was rejected and another image takes its place.
STEPS: dict[ImageState, frozenset[ImageState]] = {
    ImageState.RECEIVED: frozenset({ImageState.ENCODED, ImageState.UNSUITABLE, ImageState.FAILED}),
    ImageState.ENCODED: frozenset({ImageState.MATCHED, ImageState.FAILED, ImageState.RECEIVED}),
    ImageState.MATCHED: frozenset({ImageState.RECEIVED, ImageState.UNSUITABLE}),
    ImageState.UNSUITABLE: frozenset({ImageState.RECEIVED}),
    ImageState.FAILED: frozenset({ImageState.RECEIVED}),
}


class IllegalStep(LungprintError):
    """An image was asked to move to a state that does not follow the one it is in."""

    def __init__(self, current: ImageState, wanted: ImageState) -> None:
        super().__init__(f"An image in state {current} cannot become {wanted}.")


def check_step(current: ImageState, wanted: ImageState) -> None:
    """Allow the step or raise.

    Raises:
        IllegalStep: `wanted` does not follow `current`.
    """
    if wanted not in STEPS[current]:
        raise IllegalStep(current, wanted)


class AlertKind(StrEnum):
    """What an alert says; the rows of the verdict table that ask for a person.

    AUDIT_... say the same of an image that has long been in the archive: an audit of all images found it, see
    `archive.archive_audit`. They have a list of their own and use up no budget.
    """

    WRONG_PATIENT = "wrong_patient"
    PRIOR_MISMATCH = "prior_mismatch"
    DUPLICATE_RECORD = "duplicate_record"
    DUPLICATE_IMAGE = "duplicate_image"
    AUDIT_WRONG_PATIENT = "audit_wrong_patient"
    AUDIT_PRIOR_MISMATCH = "audit_prior_mismatch"
    AUDIT_DUPLICATE_RECORD = "audit_duplicate_record"
    AUDIT_DUPLICATE_IMAGE = "audit_duplicate_image"

    @property
    def of_audit(self) -> bool:
        """Whether an audit of the archive found it."""
        return self.value.startswith("audit_")

    @property
    def finding(self) -> AlertKind:
        """What is said, whoever found it."""
        return AlertKind(self.value.removeprefix("audit_"))

    @property
    def audited(self) -> AlertKind:
        """The same, found by an audit."""
        return AlertKind(f"audit_{self.finding.value}")


AUDIT_KINDS = tuple(kind for kind in AlertKind if kind.of_audit)
LIVE_KINDS = tuple(kind for kind in AlertKind if not kind.of_audit)


def saying(*findings: AlertKind) -> tuple[AlertKind, ...]:
    """Kinds that say one of these things, whoever found it."""
    return tuple(kind for kind in AlertKind if kind.finding in findings)


class AlertState(StrEnum):
    """What has become of an alert; RESOLVED ones closed by themselves, for one of the reasons of `Resolution`."""

    OPEN = "open"
    HELD = "held"
    UNDER_INVESTIGATION = "under_investigation"
    CONFIRMED = "confirmed"
    NOT_AN_ERROR = "not_an_error"
    SAME_PERSON = "same_person"
    RESOLVED = "resolved"


# States in which an alert still waits for a person; HELD ones wait outside the alert budget.
WAITING = (AlertState.OPEN, AlertState.UNDER_INVESTIGATION)


class Channel(StrEnum):
    """A way on which messages about alerts leave."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    REPORT = "report"
    CAPTURE = "capture"


class Resolution(StrEnum):
    """Why an alert closed by itself."""

    JOINED = "joined"
    CORRECTED = "corrected"
    JUDGED_ANEW = "judged_anew"


class LinkKind(StrEnum):
    """What is known about two labels.

    SAME_PERSON: they are one person. TWO_PERSONS: they are two, though their images look alike. LABEL_RIGHT: an image
    of the first that looked like the second was the first's.
    """

    SAME_PERSON = "same_person"
    TWO_PERSONS = "two_persons"
    LABEL_RIGHT = "label_right"


class ChangeKind(StrEnum):
    """What about an image of the gallery has changed: whose it is, whether or as what it belongs there, or that it must
    be forgotten, the index's files included."""

    PERSON = "person"
    IMAGE = "image"
    PURGED = "purged"


class PurgeKind(StrEnum):
    """What is removed for good."""

    PATIENT = "patient"
    STUDY = "study"


class LeftoverKind(StrEnum):
    """What is still to be removed: a stored file by digest, a refused one by name, an image's previews by its id, or an
    alert's decisions by its id."""

    FILE = "file"
    QUARANTINE = "quarantine"
    PREVIEW = "preview"
    ALERT = "alert"


class NotificationState(StrEnum):
    """What has become of a message to another system."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class SearchState(StrEnum):
    """What has become of a search for earlier images: `retrieved` ones are compared, then it is `done`."""

    PENDING = "pending"
    RETRIEVED = "retrieved"
    DONE = "done"
    DEAD = "dead"


class Role(StrEnum):
    """What a user may do: `qa` disposes of alerts, `clinician` looks up similar cases, `admin` sees the system too."""

    QA = "qa"
    CLINICIAN = "clinician"
    ADMIN = "admin"
