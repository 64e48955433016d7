"""Reading HL7 v2 messages about patients: ADT A08, A40 and A47, as far as identity needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hl7

from config.errors import LungprintError

EVENTS = frozenset({"A08", "A40", "A47"})
# Types of identifiers (HL7 table 0203) under which images are filed; "" where the sender says no type.
PATIENT_ID_TYPES = frozenset({"", "MR", "MRT", "PI", "PT", "PE", "U"})
# What HL7 writes to say that a value is deleted.
NULL = '""'

# HL7 table 0211, and the Python codec for each.
_CHARACTER_SETS = {
    "ASCII": "ascii",
    "8859/1": "latin-1",
    **{f"8859/{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
}


class MessageRefused(LungprintError):
    """A message was not taken.

    Attributes:
        code: acknowledgement code (HL7 table 0008): AE, something in the message is wrong; AR, it is of a kind that is
            not taken here, or nothing can be taken now.
        error: error code (HL7 table 0357).
    """

    def __init__(self, code: str, error: int, text: str) -> None:
        self.code = code
        self.error = error
        super().__init__(text)


@dataclass(frozen=True)
class Identifier:
    """A Patient ID (data type CX), with namespace and universal ID of its assigning authority, "" if not given."""

    number: str
    namespace: str = ""
    universal_id: str = ""

    @property
    def authority(self) -> str:
        """One name for the authority."""
        return self.namespace or self.universal_id


@dataclass(frozen=True)
class Demographics:
    """What PID says of a patient, in DICOM's form; None = nothing, "" = deleted."""

    name: str | None
    birth_date: str | None
    sex: str | None


@dataclass(frozen=True)
class PatientGroup:
    """A PID segment, and the identifiers of the MRG segment after it."""

    identifiers: tuple[Identifier, ...]
    prior: tuple[Identifier, ...]
    demographics: Demographics


@dataclass(frozen=True)
class Adt:
    """A message about patients.

    Attributes:
        event: A08, A40 or A47. control_id: MSH-10. sender: MSH-3 and MSH-4.
    """

    event: str
    control_id: str
    sender: str
    groups: tuple[PatientGroup, ...]


def decoded(content: bytes) -> str:
    """The text of a message, by the character set that it names (MSH-18).

    Without one it is UTF-8 if it can be, else ISO 8859-1.

    Raises:
        MessageRefused: another character set, or bytes that are none of its characters.
    """
    header = content.split(b"\r", 1)[0]
    fields = header.split(header[3:4]) if len(header) > 3 else []
    named = fields[17].decode("latin-1").strip() if len(fields) > 17 else ""
    names = [part for part in named.split(chr(header[5]) if len(header) > 5 else "~") if part]
    try:
        if not names:
            try:
                return content.decode("utf-8")
            except UnicodeDecodeError:
                return content.decode("latin-1")
        # With code extensions the last one holds the first ones' characters.
        return content.decode(_CHARACTER_SETS[names[-1].upper()])
    except KeyError:
        raise MessageRefused("AR", 207, "The character set in MSH-18 is not known here.") from None
    except UnicodeDecodeError:
        raise MessageRefused("AE", 102, "The message is not in the character set that MSH-18 names.") from None


def parsed(text: str) -> hl7.Message:
    """The segments of a message.

    Raises:
        MessageRefused: it does not begin with a usable MSH segment.
    """
    try:
        message = hl7.parse(text.replace("\r\n", "\r").replace("\n", "\r"))
        assert len(message.segment("MSH")) > 10
    except Exception as error:
        # The parser answers garbage with errors of many kinds.
        raise MessageRefused("AR", 100, "The message has no MSH segment that can be read.") from error
    return message


def read_adt(message: hl7.Message) -> Adt:
    """What a message says about patients.

    Raises:
        MessageRefused: of a kind that is not taken, or a segment or field is missing.
    """
    header = message.segment("MSH")
    kind, event = (_part(message, _first(header, 9), number) for number in (1, 2))
    if kind != "ADT":
        raise MessageRefused("AR", 200, "Only ADT messages are taken here.")
    if event not in EVENTS:
        raise MessageRefused("AR", 201, "Only the events A08, A40 and A47 are taken here.")
    if _part(message, _first(header, 11), 1) != "P":
        raise MessageRefused("AR", 202, "Only messages of production (MSH-11 P) are taken here.")
    if not str(_first(header, 12)).startswith("2"):
        raise MessageRefused("AR", 203, "Only HL7 version 2 is taken here.")
    control_id = str(_first(header, 10))
    if not control_id:
        raise MessageRefused("AE", 101, "The message has no control ID (MSH-10).")
    sender = "/".join(part for part in (str(_first(header, 3)), str(_first(header, 4))) if part)
    return Adt(event, control_id, sender, _groups(message, event))


def _groups(message: hl7.Message, event: str) -> tuple[PatientGroup, ...]:
    found: list[PatientGroup] = []
    pid: Any = None
    for segment in message:
        name = str(segment[0])
        if name == "PID":
            if pid is not None:
                found.append(_group(message, event, pid, None))
            pid = segment
        elif name == "MRG" and pid is not None:
            found.append(_group(message, event, pid, segment))
            pid = None
    if pid is not None:
        found.append(_group(message, event, pid, None))
    if not found:
        raise MessageRefused("AE", 100, "The message has no PID segment.")
    return tuple(found)


def _group(message: hl7.Message, event: str, pid: Any, mrg: Any) -> PatientGroup:
    identifiers = _identifiers(message, pid, 3)
    if not identifiers:
        raise MessageRefused("AE", 101, "PID-3 holds no Patient ID.")
    prior = () if mrg is None else _identifiers(message, mrg, 1)
    if event != "A08" and mrg is None:
        raise MessageRefused("AE", 100, "A PID segment has no MRG segment after it.")
    if event != "A08" and not prior:
        raise MessageRefused("AE", 101, "MRG-1 holds no Patient ID.")
    return PatientGroup(identifiers, prior, _demographics(message, pid))


def _identifiers(message: hl7.Message, segment: Any, field: int) -> tuple[Identifier, ...]:
    found = []
    for repetition in _repetitions(segment, field):
        number, namespace, universal_id, kind = (
            _part(message, repetition, *place).strip() for place in ((1,), (4,), (4, 2), (5,))
        )
        if number and number != NULL and kind in PATIENT_ID_TYPES:
            found.append(Identifier(number, namespace, universal_id))
    return tuple(found)


def _demographics(message: hl7.Message, pid: Any) -> Demographics:
    birth = str(_first(pid, 7))
    sex = _part(message, _first(pid, 8), 1)
    return Demographics(
        name=_name(message, pid),
        birth_date="" if birth == NULL else (birth[:8] if birth[:8].isdecimal() and len(birth) >= 8 else None),
        sex="" if sex == NULL else (sex if sex in ("M", "F", "O") else None),
    )


def _name(message: hl7.Message, pid: Any) -> str | None:
    """PID-5 (XPN) as a DICOM person name (PS3.5 6.2.1): alphabetic, ideographic and phonetic representation."""
    groups = {"A": "", "I": "", "P": ""}
    for repetition in _repetitions(pid, 5):
        if str(repetition) == NULL:
            return ""
        family, given, middle, suffix, prefix = (_part(message, repetition, place) for place in range(1, 6))
        representation = _part(message, repetition, 8)
        group = "^".join(part.replace("^", " ").replace("=", " ") for part in (family, given, middle, prefix, suffix))
        key = representation if representation in groups else "A"
        groups[key] = groups[key] or group.rstrip("^")
    whole = "=".join(groups.values()).rstrip("=")
    return whole or None


def _first(segment: Any, field: int) -> Any:
    return next(iter(_repetitions(segment, field)), "")


def _repetitions(segment: Any, field: int) -> Sequence[Any]:
    return list(segment[field]) if len(segment) > field else []


def _part(message: hl7.Message, repetition: Any, component: int, subcomponent: int = 1) -> str:
    """A component's subcomponent, both counted from 1 as in the standard; "" where there is none."""
    components = [repetition] if isinstance(repetition, str) else list(repetition)
    if len(components) < component:
        return ""
    whole = components[component - 1]
    parts = [whole] if isinstance(whole, str) else list(whole)
    return str(message.unescape(str(parts[subcomponent - 1]))) if len(parts) >= subcomponent else ""
