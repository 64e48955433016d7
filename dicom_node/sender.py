"""Sends DICOM files over a real association, as a modality or a PACS does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    JPEG2000,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from config.errors import LungprintError

PDU_BYTES = 128 * 1024
SUCCESS = 0x0000
_MAX_CONTEXTS = 128
_USUAL_CLASSES = (
    DigitalXRayImageStorageForPresentation,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)
_USUAL_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    RLELossless,
)

Item = Path | Dataset
Kind = tuple[str, str]
"""SOP class and transfer syntax of an object."""


class PeerRefused(LungprintError):
    """No association with the peer could be opened at all."""


@dataclasses.dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one object; `status` is None when the peer never answered, `problem` then says why."""

    sop_instance_uid: str
    status: int | None
    seconds: float
    problem: str = ""

    @property
    def stored(self) -> bool:
        """Whether the peer took responsibility: success, or one of the warnings 0xB000 to 0xBFFF."""
        return self.status is not None and (self.status == SUCCESS or 0xB000 <= self.status <= 0xBFFF)


def send(
    items: Iterable[Item],
    host: str,
    port: int,
    called_ae: str,
    calling_ae: str = "LUNGPRINT_SCU",
    on_progress: Callable[[SendResult], None] | None = None,
    *,
    attempts: int = 2,
    patience: float = 0.0,
    answer_timeout: float = 30.0,
) -> list[SendResult]:
    """Send objects one after the other; a failure of one does not stop the rest.

    Files go out byte for byte as they lie on disk, data sets in their own transfer syntax. `items` may be a
    generator: it is read only as fast as the peer takes.

    Args:
        items: DICOM files, or data sets with file meta information.
        host, port: the peer's address.
        called_ae, calling_ae: application entity titles, at most 16 characters.
        on_progress: called after each object.
        attempts: how often one object is tried when the association is aborted under it.
        patience: seconds to go on trying to reach a peer that went away after the first association.
        answer_timeout: seconds after which an object without an answer counts as aborted.

    Raises:
        PeerRefused: the first association could not be opened.
    """
    results = []
    with _Line(host, port, called_ae, calling_ae, patience, answer_timeout) as line:
        for item in items:
            result = _send_one(line, item, attempts)
            results.append(result)
            if on_progress is not None:
                on_progress(result)
    return results


def _send_one(line: _Line, item: Item, attempts: int) -> SendResult:
    started = time.perf_counter()
    uid, problem = "", "no attempt was made"
    try:
        uid, kind = _identify(item)
        for _ in range(max(1, attempts)):
            status, problem = _attempt(line, item, kind)
            if status is not None:
                return SendResult(uid, status, time.perf_counter() - started)
    except (AttributeError, InvalidDicomError, OSError) as error:
        problem = f"the object cannot be read ({type(error).__name__})"
    except ValueError:
        problem = "the peer does not accept this SOP class and transfer syntax"
    return SendResult(uid, None, time.perf_counter() - started, problem)


def _attempt(line: _Line, item: Item, kind: Kind) -> tuple[int | None, str]:
    association = line.ready(kind)
    if association is None:
        return None, "the peer cannot be reached"
    try:
        answer = association.send_c_store(item)
    except RuntimeError:
        answer = Dataset()
    if "Status" in answer:
        return int(answer.Status), ""
    line.drop()
    return None, "the association was aborted"


def _identify(item: Item) -> tuple[str, Kind]:
    if isinstance(item, Dataset):
        return str(item.SOPInstanceUID), (str(item.SOPClassUID), str(item.file_meta.TransferSyntaxUID))
    meta = pydicom.filereader.read_file_meta_info(item)
    return (
        str(meta.MediaStorageSOPInstanceUID),
        (str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)),
    )


class _Line:
    """An association opened when needed, and again after it broke or when a new kind of object comes."""

    def __init__(
        self, host: str, port: int, called_ae: str, calling_ae: str, patience: float, answer_timeout: float
    ) -> None:
        # without this setting pynetdicom decodes and re-encodes every file it sends
        _config.STORE_SEND_CHUNKED_DATASET = True
        self._peer = (host, port, called_ae)
        self._patience = patience
        self._entity = AE(ae_title=calling_ae)
        self._entity.acse_timeout = 15
        self._entity.dimse_timeout = answer_timeout
        self._entity.network_timeout = 120
        self._kinds: dict[Kind, None] = dict.fromkeys(
            (str(sop), str(syntax)) for sop in _USUAL_CLASSES for syntax in _USUAL_SYNTAXES
        )
        self._association: Association | None = None
        self._reached = False

    def __enter__(self) -> _Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def ready(self, kind: Kind) -> Association | None:
        """An established association that proposed this kind; None when the peer cannot be reached again."""
        if kind not in self._kinds:
            self.drop()
            self._kinds = dict.fromkeys([kind, *self._kinds])
            self._kinds = dict.fromkeys(list(self._kinds)[:_MAX_CONTEXTS])
        if self._association is None or not self._association.is_established:
            self._association = self._open()
        return self._association

    def drop(self) -> None:
        """Release what is open, so that the next object opens a new association."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.release()

    def _open(self) -> Association | None:
        host, port, called_ae = self._peer
        deadline = time.monotonic() + (self._patience if self._reached else 0.0)
        while True:
            association = self._entity.associate(
                host, port, contexts=self._contexts(), ae_title=called_ae, max_pdu=PDU_BYTES
            )
            if association.is_established:
                self._reached = True
                return association
            if not self._reached:
                how = "rejected" if association.is_rejected else "could not be opened"
                raise PeerRefused(f"The association with {called_ae} at {host}:{port} {how}.")
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.2)

    def _contexts(self) -> list[PresentationContext]:
        return [build_context(sop, [syntax]) for sop, syntax in self._kinds]
