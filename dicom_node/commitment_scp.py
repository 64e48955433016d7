"""The provider of storage commitment in the listener: requests are entered, reports sent where they came from."""

from __future__ import annotations

import logging
import queue
import threading
import time

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.events import Event
from sqlalchemy.exc import SQLAlchemyError

from archive import commitments
from archive.database import Database
from archive.files import ImageFiles
from config.paths import DataDir
from dicom_node.association import is_answering
from dicom_node.commitment import ReportNotTaken, RequestUnusable, deliver, read_request
from dicom_node.services import STORAGE_COMMITMENT_INSTANCE
from dicom_node.status import CommitStatus

logger = logging.getLogger(__name__)

REQUEST_STORAGE_COMMITMENT = 1
# Many peers release as soon as their request is answered, and would be met by the report on their way out.
LEAVING_SECONDS = 0.5
# How long the report waits for a moment in which the peer asks for nothing else.
BUSY_SECONDS = 5.0
# Reports that wait for the thread; what exceeds it is left to the workers.
MOST_WAITING = 1000


class CommitmentProvider:
    """Answers N-ACTION requests, and sends each report on the same association while the peer stays.

    Where the peer has left, or does not take the report, a worker opens an association of its own; see
    `commitment.deliver_by_call`.
    """

    def __init__(self, folder: DataDir, database: Database) -> None:
        self._database = database
        self._files = ImageFiles(folder)
        self._waiting: queue.Queue[tuple[float, Association, int] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="commitment", daemon=True)

    def start(self) -> None:
        """Begin to send reports."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; the workers see to what is left."""
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        self._waiting.put(None)

    def handle_action(self, event: Event) -> tuple[int, Dataset | None]:
        """Answer an N-ACTION request (PS3.4 J.3.2).

        Returns:
            status and no action reply:

            - 0x0000: the request is in the database, its report will come.
            - 0x0110: the database cannot be written; asking again is right.
            - 0x0112: the request is about another instance than the service's well-known one.
            - 0x0115: no valid Transaction UID, or no images with valid UIDs.
            - 0x0123: another action type than 1, Request Storage Commitment.
        """
        status = self._enter(event)
        if status is not CommitStatus.SUCCESS:
            logger.warning("Refused a request for storage commitment with 0x%04X (%s).", status, status.name)
        return int(status), None

    def _enter(self, event: Event) -> CommitStatus:
        request = event.request
        if not isinstance(request, N_ACTION) or request.RequestedSOPInstanceUID != STORAGE_COMMITMENT_INSTANCE:
            return CommitStatus.NO_SUCH_INSTANCE
        if request.ActionTypeID != REQUEST_STORAGE_COMMITMENT:
            return CommitStatus.NO_SUCH_ACTION
        try:
            transaction, references = read_request(_information(event))
        except RequestUnusable:
            return CommitStatus.INVALID_ARGUMENT
        peer = str(event.assoc.requestor.ae_title).strip()
        try:
            with self._database.write() as session:
                commitment_id = commitments.enter(session, peer, transaction, references)
        except SQLAlchemyError as error:
            logger.error("A request for storage commitment cannot be entered (%s).", type(error).__name__)
            return CommitStatus.PROCESSING_FAILURE
        try:
            self._waiting.put_nowait((time.monotonic() + LEAVING_SECONDS, event.assoc, commitment_id))
        except queue.Full:
            logger.warning("Many commitment reports wait; the workers send this one.")
        return CommitStatus.SUCCESS

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            not_before, association, commitment_id = entry
            try:
                if not self._report(not_before, association, commitment_id):
                    with self._database.write() as session:
                        commitments.postpone(session, [commitment_id], 0.0)
            except SQLAlchemyError as error:
                logger.error("A commitment report waits for the database (%s).", type(error).__name__)

    def _report(self, not_before: float, association: Association, commitment_id: int) -> bool:
        """Whether nothing is left to do for a request."""
        until = not_before + BUSY_SECONDS
        while association.is_established and (time.monotonic() < not_before or is_answering(association)):
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        if not association.is_established:
            return False
        try:
            deliver(self._database, self._files, association, commitment_id)
        except ReportNotTaken as error:
            logger.info("A commitment report will go over an association of its own: %s.", error)
            return False
        return True


def _information(event: Event) -> Dataset:
    try:
        return event.action_information
    except Exception as error:
        # Garbage makes the decoder fail in every way.
        raise RequestUnusable("The request's data set cannot be decoded.") from error
