"""Fetching series from a PACS (Retrieve SCU, PS3.4 C): C-MOVE to this node's listener, or C-GET on the association."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import build_context

from config.errors import LungprintError
from config.settings import Settings
from dicom_node.calling import calling
from dicom_node.quarantine import Claim
from dicom_node.query import FoundSeries, QueryFailed
from dicom_node.services import STORAGE_CLASSES, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, TRANSFER_SYNTAXES
from dicom_node.spool import Spool
from dicom_node.status import StoreStatus
from dicom_node.storage import Storage

logger = logging.getLogger(__name__)

_PENDING = (0xFF00, 0xFF01)
# What administrators meet most (PS3.4 tables C.4-2 and C.4-3).
_MEANINGS = {
    0xA701: "it is out of resources",
    0xA702: "it could not send the images; does it know this node's address and port?",
    0xA801: "it does not know this node's AE title as a destination",
    0xA900: "it does not understand the identifier",
    0xB000: "some images could not be sent",
    0xFE00: "it was cancelled",
}


class RetrieveFailed(LungprintError):
    """A PACS did not send a series, or not all of it; the text holds no patient data."""


class Throttle:
    """Lets so many steps happen in a minute, evenly spaced; `wait` returns when the next one may begin."""

    def __init__(self, per_minute: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self._pause = 60.0 / per_minute
        self._sleep = sleep
        self._next = 0.0

    def wait(self) -> None:
        """Wait for one's turn."""
        remaining = self._next - time.monotonic()
        if remaining > 0:
            self._sleep(remaining)
        self._next = time.monotonic() + self._pause


Note = Callable[[UID, Dataset], None]
"""Told the service's SOP class and the identifier of a request before it is sent."""


class Pacs:
    """An open association with the PACS of `priors.peer`; each request is noted before it is sent."""

    def __init__(self, settings: Settings, association: Association, note: Note) -> None:
        self._association = association
        self._settings = settings
        self._note = note

    @property
    def is_there(self) -> bool:
        """Whether the association is still open."""
        return self._association.is_established

    def find(self, identifier: Dataset) -> Iterator[tuple[Dataset, Dataset | None]]:
        """Ask by C-FIND; gives each status with its match.

        Raises:
            QueryFailed: the PACS has ended the association.
        """
        if not self.is_there:
            raise QueryFailed("The PACS has ended the association.")
        self._note(STUDY_ROOT_FIND, identifier)
        yield from self._association.send_c_find(identifier, STUDY_ROOT_FIND)

    def fetch(self, series: FoundSeries) -> None:
        """Have a series sent; on return all its images are on this node's disk and in its database.

        Raises:
            RetrieveFailed: an image is missing, or the PACS does not answer.
        """
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "SERIES"
        wanted.StudyInstanceUID = series.study_instance_uid
        wanted.SeriesInstanceUID = series.series_instance_uid
        if not self.is_there:
            raise RetrieveFailed("The PACS has ended the association.")
        by_get = self._settings.priors.retrieve == "get"
        self._note(STUDY_ROOT_GET if by_get else STUDY_ROOT_MOVE, wanted)
        try:
            if by_get:
                answers = self._association.send_c_get(wanted, STUDY_ROOT_GET)
            else:
                answers = self._association.send_c_move(wanted, self._settings.dicom.ae_title, STUDY_ROOT_MOVE)
            _check(list(answers))
        except ValueError as error:
            raise RetrieveFailed(f"The PACS does not offer C-{self._settings.priors.retrieve.upper()}.") from error


@contextmanager
def pacs(settings: Settings, storage: Storage, spool: Spool, note: Note) -> Iterator[Pacs]:
    """An association with the PACS for queries and retrieval.

    Args:
        storage, spool: take the images of a C-GET.
        note: told of each request before it is sent.

    Raises:
        PeerNotCalled: the association cannot be opened.
    """
    contexts = [build_context(STUDY_ROOT_FIND)]
    handlers: list[EventHandlerType] = []
    if settings.priors.retrieve == "get":
        contexts.append(build_context(STUDY_ROOT_GET))
        contexts += [build_context(one, list(TRANSFER_SYNTAXES)) for one in STORAGE_CLASSES]
        handlers.append((evt.EVT_C_STORE, _Receiver(storage, spool, settings.priors.peer).handle_store))
    else:
        contexts.append(build_context(STUDY_ROOT_MOVE))
    # This node opens the association and yet receives the images (PS3.7 D.3.3.4).
    roles = [build_role(one, scp_role=True) for one in STORAGE_CLASSES] if handlers else []
    seconds = settings.priors.timeout_seconds
    with calling(
        settings, settings.priors.peer, contexts, roles=roles, handlers=handlers, answer_seconds=seconds
    ) as association:
        yield Pacs(settings, association, note)


class _Receiver:
    """Takes the C-STORE sub-operations of a C-GET exactly as the listener takes what is sent to it."""

    def __init__(self, storage: Storage, spool: Spool, peer: str) -> None:
        self._storage = storage
        self._spool = spool
        self._peer = peer
        self._lock = threading.Lock()

    def handle_store(self, event: Event) -> int:
        """Answer one; the statuses are those of `Storage.handle_store`."""
        request = event.request
        if not isinstance(request, C_STORE) or request.DataSet is None:
            return int(StoreStatus.UNREADABLE)
        claim = Claim(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        syntax = str(event.context.transfer_syntax)
        with self._lock, self._spool.open(claim.sop_class_uid, claim.sop_instance_uid, syntax) as incoming:
            incoming.write(request.DataSet.getbuffer())
            answer = self._storage.take(incoming, claim, self._peer)
        if answer.status is not StoreStatus.SUCCESS:
            logger.warning("Refused an image that was fetched with 0x%04X: %s.", answer.status, answer.reason)
        return int(answer.status)


def _check(answers: list[tuple[Dataset, Dataset | None]]) -> None:
    last = answers[-1][0] if answers else Dataset()
    code = last.get("Status")
    if code is None or code in _PENDING:
        raise RetrieveFailed("The PACS did not answer in time, or ended the association.")
    failed = int(last.get("NumberOfFailedSuboperations") or 0)
    if code == 0x0000 and failed == 0:
        return
    meaning = _MEANINGS.get(code, "see its log")
    raise RetrieveFailed(f"The PACS answered with status 0x{code:04X}, {failed} images failed: {meaning}.")
