"""What the pages say in words: names, dates, probabilities, and why an alert was raised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom.valuerep import PersonName

from archive.case_filter import age_at
from archive.models import Alert, Instance, Patient
from archive.states import AlertKind, AlertState, Resolution

KINDS = {
    AlertKind.WRONG_PATIENT: "Wrong patient",
    AlertKind.PRIOR_MISMATCH: "Prior mismatch",
    AlertKind.DUPLICATE_RECORD: "Duplicate record",
    AlertKind.DUPLICATE_IMAGE: "Duplicate image",
}
KINDS |= {kind.audited: f"{name} (audit)" for kind, name in KINDS.items()}
STATES = {
    AlertState.OPEN: "open",
    AlertState.HELD: "held back",
    AlertState.UNDER_INVESTIGATION: "under investigation",
    AlertState.CONFIRMED: "confirmed",
    AlertState.NOT_AN_ERROR: "not an error",
    AlertState.SAME_PERSON: "same person",
    AlertState.RESOLVED: "closed by itself",
}
VERDICTS = {
    "consistent": "Consistent: looks like the earlier images of this patient.",
    "first_seen": "First seen: there was nothing to compare with, and nobody else looks like this.",
    "wrong_patient": "Wrong patient: unlike this patient's earlier images, and like another patient's.",
    "prior_mismatch": "Prior mismatch: unlike this patient's earlier images.",
    "duplicate_record": "Duplicate record: another patient's images look like the same person.",
    "duplicate_image": "Duplicate image: the same pixels are filed elsewhere.",
}
RESOLUTIONS = {
    "": "",
    Resolution.JOINED: "Closed by itself: the two records were joined as one person.",
    Resolution.CORRECTED: "Closed by itself: the image came again, or was moved, under another Patient ID.",
    Resolution.JUDGED_ANEW: "Closed by itself: something about these patients has changed, and compared anew it no "
    "longer holds.",
}
# What the button says that takes a state back, which separates records again or lets the pair be raised again.
UNDO = {
    AlertState.SAME_PERSON: "Take it back and separate the records",
    AlertState.NOT_AN_ERROR: "Take it back; it may be raised again",
    AlertState.RESOLVED: "Open it again",
}
# Why an alert about files was raised, by the cause in its evidence.
_FILES = {
    "uid_conflict": (
        "Other bytes arrived under a SOP Instance UID that was already taken. "
        "The first arrival is kept as it was, the second is stored beside it."
    ),
    "other_pixels": (
        "The image was sent again with another Patient ID and has moved there, but its pixels are not those of the "
        "version before, or that one was never decoded. Both files are kept; one of them may show somebody else."
    ),
    "replaced_again": (
        "The file that a correction had replaced arrived once more. The corrected image stays as it is; if it was the "
        "correction that was wrong, send the image again with any change to its header."
    ),
}
SEXES = {"M": "male", "F": "female", "O": "other"}


def person_name(value: str) -> str:
    """A DICOM person name (PS3.5 6.2.1) as people write it.

    >>> person_name("Yamada^Tarou=山田^太郎")
    'Yamada, Tarou (山田 太郎)'
    """
    groups = [_group(PersonName(part)) for part in value.split("=")[:3]]
    # How a name is spoken is shown where it stands alone.
    readable = [group for group in groups[:2] if group] or [group for group in groups[2:] if group]
    if not readable:
        return "no name"
    return readable[0] if len(readable) == 1 else f"{readable[0]} ({readable[1]})"


def _group(name: PersonName) -> str:
    given = " ".join(part for part in (name.given_name, name.middle_name) if part)
    family = name.family_name.strip()
    if _is_ideographic(family + given):
        readable = f"{family} {given}".strip()
    else:
        readable = ", ".join(part for part in (family, given.strip()) if part)
    titles = [part for part in (name.name_prefix, name.name_suffix) if part]
    return f"{readable} ({', '.join(titles)})" if titles and readable else readable


def _is_ideographic(text: str) -> bool:
    return any(
        "\u3040" <= sign <= "\u30ff"
        or "\u3400" <= sign <= "\u9fff"
        or "\uac00" <= sign <= "\ud7af"
        or "\uff66" <= sign <= "\uff9f"  # half-width Katakana, of ISO 2022 IR 13
        for sign in text
    )


def dicom_date(value: str) -> str:
    """`19700131` as `1970-01-31`; anything else unchanged."""
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdecimal() else value


def study_date(at: datetime | None) -> str:
    """The day of a study, as its header gives it."""
    return at.strftime("%Y-%m-%d") if at else "no date"


def righting(done: str) -> str:
    """What people are told of an image that is stored turned or inverted; `done` says what was done to it."""
    return f"Not stored the right way: this image was {done} before it was compared, and is shown here so."


def sex_and_age(image: Instance) -> str:
    """The day of an image's study, and the patient's sex (F, M, O) and age on it, as far as the header tells."""
    taken = image.series.study.acquired_at
    age = age_at(image.patient.birth_date, taken)
    parts = (study_date(taken), image.patient.sex, "" if age is None else f"{age} years")
    return " · ".join(part for part in parts if part)


def local_time(at: datetime | None) -> str:
    """A moment in the time zone of this machine, to the minute."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else "never"


def percent(probability: float) -> str:
    """A probability as a percentage that never claims certainty and is never broken between two lines."""
    if probability < 0.001:
        return "< 0.1\u00a0%"
    if probability > 0.999:
        return "> 99.9\u00a0%"
    value = 100.0 * probability
    return f"{value:.1f}\u00a0%" if value < 10 or value > 99 else f"{value:.0f}\u00a0%"


def patient_label(patient: Patient | None) -> str:
    """Name and ID of a label, for a sentence."""
    return "nobody else" if patient is None else f"{person_name(patient.name)} [{patient.patient_id}]"


@dataclass(frozen=True)
class Reason:
    """A sentence of the explanation; `weight` is "against", "for" or "" as seen from the label on the study."""

    text: str
    weight: str = ""


def headline(alert: Alert) -> str:
    """What the alert says, in one line."""
    own, other = patient_label(alert.patient), patient_label(alert.other_patient)
    if alert.kind.finding is AlertKind.WRONG_PATIENT:
        return f"Labelled {own}, looks like {other}"
    if alert.kind.finding is AlertKind.PRIOR_MISMATCH:
        other_images = "other" if alert.kind.of_audit else "earlier"
        return f"Labelled {own}, looks unlike the {other_images} images of this patient"
    if alert.kind.finding is AlertKind.DUPLICATE_RECORD:
        return f"{own} and {other} may be one person"
    cause = alert.evidence.get("cause")
    if cause == "uid_conflict":
        return f"Two different files of {own} carry one SOP Instance UID"
    if cause == "other_pixels":
        return f"A correction of an image of {own} shows another picture than the version before"
    if cause == "replaced_again":
        return f"A version of {own} that a correction had replaced was sent again"
    return f"The same pixels are filed under {own} and under {other if alert.other_patient else 'another study'}"


def reasons(alert: Alert) -> list[Reason]:
    """Why the alert was raised, from its evidence."""
    evidence = alert.evidence
    cause = evidence.get("cause", "comparison")
    if cause == "same_pixels":
        return [
            Reason(
                "Both files hold exactly the same pixel values, so one of them was filed a second time; "
                "no two exposures are alike.",
                "against",
            )
        ]
    if cause in _FILES:
        return [Reason(_FILES[cause], "against")]
    found = [_own(alert, evidence.get("own") or {})]
    if alert.other_patient is not None and evidence.get("other"):
        found.append(_other(alert, evidence["other"]))
        found += _chance(alert, evidence["other"])
    return found + _gallery(evidence)


def _own(alert: Alert, own: Mapping[str, Any]) -> Reason:
    count, name = int(own.get("images") or 0), person_name(alert.patient.name)
    earlier = "other" if alert.kind.of_audit else "earlier"
    if count == 0:
        return Reason(f"There is no {earlier} image of {name} to compare with.")
    unlike = float(own.get("log_lr") or 0.0) < 0.0
    chance = own.get("best_probability")
    detail = "" if chance is None else f"; the closest of them shows one person with probability {percent(chance)}"
    images = f"the {earlier} image" if count == 1 else f"the {count} {earlier} images"
    return Reason(f"Looks {'unlike' if unlike else 'like'} {images} of {name}{detail}.", "against" if unlike else "for")


def _other(alert: Alert, other: Mapping[str, Any]) -> Reason:
    count, name = int(other.get("images") or 0), patient_label(alert.other_patient)
    images = "the image" if count == 1 else f"{count} images"
    chance = other.get("best_probability")
    detail = "" if chance is None else f"; the closest of them shows one person with probability {percent(chance)}"
    return Reason(f"Looks like {images} of {name}{detail}.", "against")


def _chance(alert: Alert, other: Mapping[str, Any]) -> list[Reason]:
    """How rare the match is among strangers, who comes next, and what the headers of both records say."""
    found = []
    strangers = other.get("expected_strangers")
    if strangers is not None:
        often = f"{strangers:.1f}" if strangers >= 0.1 else "fewer than 0.1"
        found.append(Reason(f"By chance, {often} images of strangers in this gallery would look as alike or more."))
    best, runner_up = other.get("log_lr"), other.get("runner_up_log_lr")
    if best is not None and runner_up is not None and best > runner_up:
        times = math.exp(min(best - runner_up, 20.0))
        found.append(
            Reason(
                f"The next best patient fits {times:,.0f} times less well."
                if times >= 2
                else "Another patient fits almost as well."
            )
        )
    header = float(other.get("header_log_lr") or 0.0)
    if alert.kind.finding is AlertKind.DUPLICATE_RECORD and header:
        said = "one person" if header > 0 else "two persons"
        found.append(
            Reason(f"Sex and birth date, taken together, speak for {said}.", "against" if header > 0 else "for")
        )
    return found


def _gallery(evidence: Mapping[str, Any]) -> list[Reason]:
    found = []
    patients, images = evidence.get("gallery_patients"), evidence.get("gallery_images")
    if patients and images:
        found.append(Reason(f"Compared with {images:,} images of {patients:,} patients."))
    rate = evidence.get("base_rate")
    if rate:
        found.append(Reason(f"Before looking, one study in {round(1 / rate):,} was expected to be misfiled."))
    return found


def meaning(alert: Alert) -> str:
    """What the probability of an alert means."""
    share = percent(alert.probability)
    if alert.kind.finding is AlertKind.DUPLICATE_IMAGE:
        return f"{share} is how sure the system is that this needs a person."
    what = {
        AlertKind.WRONG_PATIENT: "do carry the wrong name",
        AlertKind.PRIOR_MISMATCH: "do not show the person of the earlier images",
        AlertKind.DUPLICATE_RECORD: "do show one person under two records",
    }[alert.kind.finding]
    return (
        f"Of alerts with this score, about {share} {what}. The rarity of such errors and the size of the gallery "
        "are already counted in."
    )


def aligned_caption(correlation: float) -> str:
    """What the aligned view says beside its pictures."""
    return (
        "A help for the eye, not evidence: the verdict does not use it. Blue: new image. Orange: image on the right, "
        "turned, moved and stretched until ribs and clavicles lie as close as they can. Grey, and black in the "
        "difference: both agree. The difference leaves out broad shadows, which come from exposure and breath. "
        f"Correlation of fine structure: {correlation:.2f}; images of two people reach this too."
    )
