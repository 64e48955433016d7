"""What a header says an image shows: a frontal chest, a lateral one, something else."""

from __future__ import annotations

import dataclasses
import enum
import re

from pydicom.dataset import Dataset


class ViewKind(enum.StrEnum):
    """Projection of a radiograph, as far as the header tells."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class HeaderView:
    """What the header says; `reason` names the attribute that decided, without free text from the header."""

    kind: ViewKind
    reason: str


_RADIOGRAPHY = frozenset({"CR", "DX", "RG", "DR", "XR", "OT", "SC", ""})
_CHEST_WORDS = ("CHEST", "THORAX", "THX", "LUNG", "TORAX", "RIBS", "BRUSTKORB", "POUMON", "PULMO")
_OTHER_PARTS = (
    "ABDOMEN", "PELVIS", "HIP", "SKULL", "HEAD", "NECK", "SPINE", "SHOULDER", "CLAVICLE", "ARM", "ELBOW",
    "FOREARM", "WRIST", "HAND", "FINGER", "THUMB", "LEG", "THIGH", "FEMUR", "KNEE", "PATELLA", "ANKLE",
    "FOOT", "TOE", "CALCANEUS", "EXTREMITY", "BREAST", "JAW", "MANDIBLE", "MAXILLA", "TEETH", "TOOTH",
    "SINUS", "NASAL", "ORBIT", "SACRUM", "COCCYX", "SCAPULA", "HUMERUS", "RADIUS", "ULNA", "TIBIA",
    "FIBULA", "HEEL",
)  # fmt: skip
_POSITIONS = {
    "PA": ViewKind.FRONTAL, "AP": ViewKind.FRONTAL, "FRONTAL": ViewKind.FRONTAL,
    "LL": ViewKind.LATERAL, "RL": ViewKind.LATERAL, "LAT": ViewKind.LATERAL, "LATERAL": ViewKind.LATERAL,
    "LLO": ViewKind.OTHER, "RLO": ViewKind.OTHER, "RAO": ViewKind.OTHER, "LAO": ViewKind.OTHER,
    "RPO": ViewKind.OTHER, "LPO": ViewKind.OTHER, "LLD": ViewKind.OTHER, "RLD": ViewKind.OTHER,
    "OBL": ViewKind.OTHER, "OBLIQUE": ViewKind.OTHER, "AXIAL": ViewKind.OTHER, "TAN": ViewKind.OTHER,
}  # fmt: skip
_VIEW_CODES = {
    "399348003": ViewKind.FRONTAL, "R-10206": ViewKind.FRONTAL,
    "272479007": ViewKind.FRONTAL, "R-10214": ViewKind.FRONTAL,
    "399033003": ViewKind.FRONTAL, "R-10202": ViewKind.FRONTAL,
    "399067008": ViewKind.LATERAL, "399198007": ViewKind.LATERAL, "R-10232": ViewKind.LATERAL,
    "399173006": ViewKind.LATERAL, "R-10236": ViewKind.LATERAL,
    "399352003": ViewKind.LATERAL, "399260004": ViewKind.LATERAL,
}  # fmt: skip
_FRONTAL_WORDS = re.compile(r"\b(PA|AP|P\.A\.?|A\.P\.?|FRONTAL|POSTERO-?ANTERIOR|ANTERO-?POSTERIOR)(?=\W|$)")
_LATERAL_WORDS = re.compile(r"\b(LAT|LATERAL|LL|PROFIL|PROFILE|SEITLICH)(?=\W|$)")
_OTHER_WORDS = re.compile(r"\b(OBLIQUE|OBL|DECUB\w*)(?=\W|$)")
_DESCRIPTIONS = ("SeriesDescription", "AcquisitionDeviceProcessingDescription", "ProtocolName")


def header_view(header: Dataset) -> HeaderView:
    """Tell from the header alone whether an image is a frontal chest radiograph.

    The first attribute that is clear decides, in this order: modality, body part, view position, view code,
    patient orientation, series description. Unclear or missing attributes give `UNKNOWN`, not an error.
    """
    modality = _text(header, "Modality")
    if modality not in _RADIOGRAPHY:
        shown = modality if re.fullmatch(r"[A-Z0-9]{2,8}", modality) else "unknown"
        return HeaderView(ViewKind.OTHER, f"modality {shown} is not a radiograph")
    part = _body_part(header)
    if part is not None:
        return part
    for look in (_position, _view_code, _orientation, _description):
        found = look(header)
        if found is not None:
            return found
    return HeaderView(ViewKind.UNKNOWN, "the header does not name the view")


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip().upper()


def _body_part(header: Dataset) -> HeaderView | None:
    words = _text(header, "BodyPartExamined")
    for item in header.get("AnatomicRegionSequence") or []:
        words += " " + _text(item, "CodeMeaning")
    if not words.strip() or any(chest in words for chest in _CHEST_WORDS):
        return None
    for other in _OTHER_PARTS:
        if re.search(rf"(\b|[CTL]){other}", words):
            return HeaderView(ViewKind.OTHER, f"body part is {other.lower()}, not chest")
    return None


def _position(header: Dataset) -> HeaderView | None:
    position = _text(header, "ViewPosition")
    kind = _POSITIONS.get(position) or _POSITIONS.get(re.split(r"[\s_\-/,]+", position)[0])
    return None if kind is None else HeaderView(kind, f"view position says {kind.value}")


def _view_code(header: Dataset) -> HeaderView | None:
    for item in header.get("ViewCodeSequence") or []:
        kind = _VIEW_CODES.get(_text(item, "CodeValue"))
        meaning = _text(item, "CodeMeaning")
        if kind is None and meaning:
            kind = _from_words(meaning)
        if kind is not None:
            return HeaderView(kind, f"view code says {kind.value}")
    return None


def _orientation(header: Dataset) -> HeaderView | None:
    value = header.get("PatientOrientation")
    if value is None or isinstance(value, str) or len(value) != 2:
        return None
    row, column = (str(axis).strip().upper()[:1] for axis in value)
    if column not in ("F", "H"):
        return None
    kind = {"L": ViewKind.FRONTAL, "R": ViewKind.FRONTAL, "A": ViewKind.LATERAL, "P": ViewKind.LATERAL}.get(row)
    return None if kind is None else HeaderView(kind, f"patient orientation says {kind.value}")


def _description(header: Dataset) -> HeaderView | None:
    kinds = {_from_words(_text(header, keyword)) for keyword in _DESCRIPTIONS} - {None}
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    return None if kind is None else HeaderView(kind, f"series description says {kind.value}")


def _from_words(text: str) -> ViewKind | None:
    """The one view that a text names; None when it names none, or several as 'PA and lateral' does."""
    if _OTHER_WORDS.search(text):
        return ViewKind.OTHER
    frontal, lateral = _FRONTAL_WORDS.search(text), _LATERAL_WORDS.search(text)
    if bool(frontal) == bool(lateral):
        return None
    return ViewKind.FRONTAL if frontal else ViewKind.LATERAL
