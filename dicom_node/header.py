"""Reading what intake needs from a DICOM file's header, without its pixels and without trusting it."""

from __future__ import annotations

import enum
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import BinaryIO

from pydicom.charset import convert_encodings
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from archive.intake import Header
from config.errors import LungprintError
from dicom_node.elements import UNDEFINED, read_elements

# What a header may inflate to: a deflated data set is read this far and no further.
_MOST_INFLATED = 8 << 20
_PIECE = 64 << 10
_LONGEST_UID = 64
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.\d*)?)?)?)?([+-]\d{4})?$")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")
# ISO 2022 escape sequences that a decoder has left in the text, for example those of ISO 2022 IR 58 (PS3.5 6.1.2.5).
_DESIGNATION = re.compile(r"\x1b\$?[()*+,\-./]?[@-~]")
# Value representations of the elements that are kept; None where the transfer syntax does not name them.
_TEXTS = frozenset({None, "CS", "DA", "DT", "LO", "PN", "SH", "TM", "UI"})
# Letters, digits and spaces, some signs, and the padding at the end.
_SIMPLE = re.compile(rb"[ 0-9A-Za-z._^:+-]*\0?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

_KEYWORDS = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyDescription",
    "SeriesDescription",
    "Modality",
    "TimezoneOffsetFromUTC",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
    "StudyDate",
    "StudyTime",
)
_TAGS = [Tag(keyword) for keyword in _KEYWORDS]
_WANTED = frozenset(int(tag) for tag in _TAGS)
_LAST_TAG = max(_WANTED)
_LONGEST_VALUE = 1 << 20
# More than any header holds; each costs some microseconds, and megabytes of zeros are millions of elements.
_MOST_ELEMENTS = 20_000
_inflating = threading.Lock()
# Where the time of an image is looked for, in this order.
_MOMENTS = (("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"), ("StudyDate", "StudyTime"))


class HeaderDefect(enum.StrEnum):
    """What is wrong with a header; the value is shown to the administrator and holds no patient data."""

    NOT_DICOM = "not a DICOM file"
    BROKEN = "the header cannot be parsed"
    NO_SYNTAX = "the file does not say its transfer syntax"
    NO_CLASS = "no valid SOP Class UID"
    NO_INSTANCE = "no valid SOP Instance UID"
    NO_STUDY = "no valid Study Instance UID"
    NO_SERIES = "no valid Series Instance UID"


class HeaderUnreadable(LungprintError):
    """A file has no header that could be filed; `reason` is one plain phrase without patient data."""

    def __init__(self, defect: HeaderDefect) -> None:
        self.defect = defect
        self.reason = defect.value
        super().__init__(f"The file was refused: {self.reason}.")


def read_header(path: Path, undeclared: str = "ISO_IR 100") -> Header:
    """The header of a file in DICOM format (PS3.10).

    Texts are decoded by the data set's own character sets, stripped, and clipped to the archive's columns. Demographics
    and descriptions may be missing or nonsense; the four UIDs and the transfer syntax may not.

    Args:
        undeclared: see `assume_character_set`.

    Raises:
        HeaderUnreadable: whatever is wrong with the file, never another error of a parser.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return read_open_header(file, undeclared)


def read_open_header(file: BinaryIO, undeclared: str = "ISO_IR 100") -> Header:
    """As `read_header`, of a file that is open at its beginning, or of its bytes in memory."""
    try:
        syntax = read_file_meta(file)
        with _plain(file, syntax) as plain:
            start = plain.tell()
            dataset = _read(plain, syntax, _after_the_last_tag)
            if "SeriesInstanceUID" not in dataset:
                # Elements in the wrong order: look everywhere before the pixels.
                plain.seek(start)
                dataset = _read(plain, syntax, _at_pixels)
        assume_character_set(dataset, undeclared)
        return _header(dataset, syntax)
    except HeaderUnreadable:
        raise
    except Exception as error:
        _raise_disk_error(error)
        # Parsers answer garbage with errors of every kind; all of them mean the same here.
        raise HeaderUnreadable(HeaderDefect.BROKEN) from error


def read_file_meta(file: BinaryIO) -> UID:
    """The transfer syntax that a file names; the file is left at the first byte of its data set.

    Raises:
        HeaderUnreadable: not a DICOM file, or one that does not say.
        OSError: the file cannot be read.
    """
    if file.read(132)[128:] != b"DICM":
        raise HeaderUnreadable(HeaderDefect.NOT_DICOM)
    try:
        meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
        syntax = _uid(meta, "TransferSyntaxUID", HeaderDefect.NO_SYNTAX)
    except HeaderUnreadable:
        raise
    except Exception as error:
        _raise_disk_error(error)
        raise HeaderUnreadable(HeaderDefect.BROKEN) from error
    return UID(syntax)


def _raise_disk_error(error: Exception) -> None:
    """Let errors of the disk pass; pydicom raises OSError for garbage too, without an error number."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _read(file: BinaryIO, syntax: UID, ends: Callable[[int], bool]) -> Dataset:
    """The elements that are kept, of those before the one at which reading ends."""
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    start = file.tell()
    try:
        stop = partial(_stop, ends, count())
        return read_dataset(file, implicit, little, stop_when=stop, specific_tags=list(_TAGS))
    except SequenceAhead:
        file.seek(start)
        return read_elements(file, implicit, little, _WANTED.__contains__, ends)


class SequenceAhead(Exception):
    """A sequence without a length is next, into which pydicom would go level by level."""


def _stop(ends: Callable[[int], bool], numbers: Iterator[int], tag: BaseTag, _vr: str | None, length: int) -> bool:
    if ends(int(tag)):
        return True
    if length == UNDEFINED:
        raise SequenceAhead
    if next(numbers) > _MOST_ELEMENTS or (length > _LONGEST_VALUE and int(tag) in _WANTED):
        raise HeaderUnreadable(HeaderDefect.BROKEN)
    return False


def _after_the_last_tag(tag: int) -> bool:
    return tag > _LAST_TAG


def _at_pixels(tag: int) -> bool:
    return tag >> 16 == 0x7FE0


def _inflated(file: BinaryIO) -> BytesIO:
    """As much as may be needed, piece by piece: what inflates at once is held twice."""
    inflater, found = zlib.decompressobj(-zlib.MAX_WBITS), BytesIO()
    while found.tell() < _MOST_INFLATED and not inflater.eof:
        piece = inflater.unconsumed_tail or file.read(_PIECE)
        if not piece:
            found.write(inflater.flush())
            break
        found.write(inflater.decompress(piece, _PIECE))
    found.seek(0)
    return found


@contextmanager
def _plain(file: BinaryIO, syntax: UID) -> Iterator[BinaryIO]:
    """The file, or as much of it inflated as a header may need; one at a time, since that takes memory."""
    if syntax != DeflatedExplicitVRLittleEndian:
        yield file
        return
    with _inflating:
        # pydicom itself would inflate all of it, however large.
        yield _inflated(file)


def _header(dataset: Dataset, syntax: UID) -> Header:
    return Header(
        sop_class_uid=_uid(dataset, "SOPClassUID", HeaderDefect.NO_CLASS),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID", HeaderDefect.NO_INSTANCE),
        transfer_syntax_uid=str(syntax),
        study_instance_uid=_uid(dataset, "StudyInstanceUID", HeaderDefect.NO_STUDY),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID", HeaderDefect.NO_SERIES),
        patient_id=text_of(dataset, "PatientID", 128),
        issuer=text_of(dataset, "IssuerOfPatientID", 128),
        name=text_of(dataset, "PatientName", 512),
        birth_date=text_of(dataset, "PatientBirthDate", 16),
        sex=text_of(dataset, "PatientSex", 16),
        accession_number=text_of(dataset, "AccessionNumber", 64),
        study_description=text_of(dataset, "StudyDescription", 256),
        series_description=text_of(dataset, "SeriesDescription", 256),
        modality=text_of(dataset, "Modality", 16),
        acquired_at=_acquired_at(dataset),
    )


def _uid(dataset: Dataset, keyword: str, defect: HeaderDefect) -> str:
    value = text_of(dataset, keyword, 1 << 10)
    if len(value) > _LONGEST_UID or not _UID.fullmatch(value):
        raise HeaderUnreadable(defect)
    return value


def assume_character_set(dataset: Dataset, undeclared: str) -> None:
    """Say how the texts of a data set without Specific Character Set (0008,0005) are to be read.

    By the standard they are ASCII (PS3.3 C.12.1.1.2). Many are not: bytes that are UTF-8, which hardly happens by
    chance, are read as that, others by the set that the site names.

    Args:
        dataset: as read, with texts not decoded yet.
        undeclared: a defined term of PS3.3 C.12.1.1.2.
    """
    if text_of(dataset, "SpecificCharacterSet", 64):
        return
    raw = (dataset.get_item(tag) for tag in _TAGS if tag in dataset)
    texts = b" ".join(element.value for element in raw if element is not None and isinstance(element.value, bytes))
    try:
        texts.decode("utf-8")
        encodings = convert_encodings("ISO_IR 192")
    except UnicodeDecodeError:
        encodings = convert_encodings(undeclared)
    implicit, little = dataset.original_encoding
    dataset.set_original_encoding(bool(implicit), bool(little), encodings)


def text_of(dataset: Dataset, keyword: str, longest: int) -> str:
    """A value as text, "" when it is absent or cannot be decoded at all."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return ""
    raw = dataset.get_item(tag)
    is_text = tag in _WANTED and isinstance(raw, RawDataElement) and raw.VR in _TEXTS
    if is_text and isinstance(raw.value, bytes) and _SIMPLE.fullmatch(raw.value):
        # The same text in every character set, and most values are such: pydicom takes ten times as long over it.
        return raw.value.decode("ascii").strip(" \0")[:longest].rstrip()
    try:
        value = dataset[tag].value
    except (ValueError, TypeError, AttributeError, LookupError, NotImplementedError):
        return ""
    if value is None:
        return ""
    return _CONTROL.sub(" ", _DESIGNATION.sub("", str(value))).strip()[:longest].rstrip()


def _acquired_at(dataset: Dataset) -> datetime | None:
    """When the image was made, by the header's own zone or else this machine's; None when it does not say."""
    zone = _zone(text_of(dataset, "TimezoneOffsetFromUTC", 16))
    moments = [text_of(dataset, "AcquisitionDateTime", 32)]
    moments += [
        text_of(dataset, day, 16) + text_of(dataset, time, 16) for day, time in _MOMENTS if text_of(dataset, day, 16)
    ]
    for moment in moments:
        found = _MOMENT.match(moment.replace(":", ""))
        if found is None:
            continue
        year, month, day, hour, minute, second = (int(part or 0) for part in found.group(*range(1, 7)))
        try:
            local = datetime(
                year, month, day, hour, minute, min(second, 59), tzinfo=_zone(found.group(7) or "") or zone
            )
            return local.astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _zone(offset: str) -> timezone | None:
    found = _OFFSET.fullmatch(offset)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes)) if minutes < 24 * 60 else None
