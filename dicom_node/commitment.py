"""Storage commitment (PS3.4 J): which images this node answers for, and the report that says so."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import build_role
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from sqlalchemy.exc import SQLAlchemyError

from archive import commitments
from archive.commitments import Kept, Reference, Request
from archive.database import Database
from archive.files import ImageFiles, new_digest
from config.errors import LungprintError
from config.settings import Settings
from dicom_node.calling import calling
from dicom_node.header import HeaderUnreadable, read_file_meta
from dicom_node.services import STORAGE_CLASSES, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from dicom_node.status import CommitFailure

logger = logging.getLogger(__name__)

# Event types (PS3.4 J.3.3): all images are safe; some are not.
ALL_SAFE = 1
FAILURES_EXIST = 2

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64
_MIB = 1 << 20


class RequestUnusable(LungprintError):
    """An N-ACTION does not say which transaction it is, or which images it is about."""


class ReportNotTaken(LungprintError):
    """A peer did not answer an N-EVENT-REPORT, or not with success."""


def read_request(action: Dataset) -> tuple[str, list[Reference]]:
    """Transaction UID and images of a request; an image that is named twice counts once.

    Raises:
        RequestUnusable: one of them is missing or no UID.
    """
    transaction = str(action.get("TransactionUID", ""))
    references = [
        (str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")))
        for item in action.get("ReferencedSOPSequence") or ()
    ]
    if not _is_uid(transaction):
        raise RequestUnusable("The request has no valid Transaction UID.")
    if not references or not all(_is_uid(uid) for reference in references for uid in reference):
        raise RequestUnusable("The request names no images, or one of them without valid UIDs.")
    return transaction, list(dict.fromkeys(references))


def judge(database: Database, files: ImageFiles, request: Request) -> dict[Reference, CommitFailure | None]:
    """For each image, None when this node answers for it, else why it does not.

    It answers for an image whose row is committed and whose file was read back, just now, with the digest under which
    it was acknowledged.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    if request.is_repetition:
        return dict.fromkeys(request.references, CommitFailure.DUPLICATE_TRANSACTION)
    with database.read() as session:
        found = {reference: commitments.kept(session, reference[1]) for reference in request.references}
    return {reference: _failure(files, reference[0], kept) for reference, kept in found.items()}


def report(request: Request, judgement: dict[Reference, CommitFailure | None]) -> tuple[int, Dataset]:
    """Event type and event information of the N-EVENT-REPORT (PS3.4 table J.3-2)."""
    information = Dataset()
    information.TransactionUID = request.transaction_uid
    safe = [_item(reference) for reference, failure in judgement.items() if failure is None]
    failed = [_item(reference, failure) for reference, failure in judgement.items() if failure is not None]
    if safe:
        information.ReferencedSOPSequence = safe
    if failed:
        information.FailedSOPSequence = failed
    return (FAILURES_EXIST if failed else ALL_SAFE), information


def deliver(database: Database, files: ImageFiles, association: Association, commitment_id: int) -> bool:
    """Send the report about a request on an association, unless it was delivered already, and note that it was taken.

    Returns:
        whether this call delivered it.

    Raises:
        ReportNotTaken: the peer did not take it.
        sqlalchemy.exc.SQLAlchemyError: the database is away.
    """
    with database.read() as session:
        request = commitments.pending(session, commitment_id)
    if request is None:
        return False
    judgement = judge(database, files, request)
    event_type, information = report(request, judgement)
    try:
        status, _ = association.send_n_event_report(
            information, event_type, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
    except (RuntimeError, ValueError) as error:
        raise ReportNotTaken("the association ended, or does not allow a report") from error
    if "Status" not in status:
        raise ReportNotTaken("the peer did not answer the report")
    if status.Status != 0x0000:
        raise ReportNotTaken(f"the peer answered the report with status 0x{status.Status:04X}")
    failures = sum(failure is not None for failure in judgement.values())
    with database.write() as session:
        commitments.record_delivered(session, commitment_id, failures)
    logger.info("Reported to %r: %d images are safe, %d are not.", request.peer, len(judgement) - failures, failures)
    return True


def deliver_by_call(database: Database, files: ImageFiles, settings: Settings, commitment_id: int) -> bool:
    """Open an association with the peer that asked, deliver the report on it, or plan the next attempt.

    Returns:
        whether this call delivered it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is away.
    """
    with database.read() as session:
        request = commitments.pending(session, commitment_id)
    if request is None:
        return False
    try:
        # This node opens the association and yet is the provider of the service (PS3.7 D.3.3.4).
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        with calling(settings, request.peer, [build_context(STORAGE_COMMITMENT)], roles=[role]) as association:
            return deliver(database, files, association, commitment_id)
    except SQLAlchemyError:
        raise
    except LungprintError as error:
        with database.write() as session:
            days = settings.commitment.retry_days
            state = commitments.record_failure(session, commitment_id, str(error), settings.workers, days)
        logger.warning("The commitment report %d is %s: %s", commitment_id, state, error)
        return False


def _failure(files: ImageFiles, sop_class_uid: str, kept: Kept | None) -> CommitFailure | None:
    if kept is None:
        known = sop_class_uid in STORAGE_CLASSES
        return CommitFailure.NO_SUCH_INSTANCE if known else CommitFailure.CLASS_NOT_SUPPORTED
    if kept.sop_class_uid != sop_class_uid:
        return CommitFailure.CLASS_INSTANCE_CONFLICT
    return None if _is_whole(files.path(kept.file_digest), kept) else CommitFailure.PROCESSING_FAILURE


def _is_whole(path: Path, kept: Kept) -> bool:
    """Read a file back: whether its data set is still the one that was acknowledged."""
    digest, length = new_digest(), 0
    try:
        with path.open("rb") as file:
            read_file_meta(file)
            while piece := file.read(_MIB):
                digest.update(piece)
                length += len(piece)
    except (OSError, HeaderUnreadable) as error:
        logger.error("The image file %s cannot be read back (%s).", path.name, type(error).__name__)
        return False
    if (digest.hexdigest(), length) == (kept.file_digest, kept.size):
        return True
    logger.error("The image file %s is damaged: it no longer has the digest that names it.", path.name)
    return False


def _item(reference: Reference, failure: CommitFailure | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    if failure is not None:
        item.FailureReason = int(failure)
    return item


def _is_uid(text: str) -> bool:
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None
