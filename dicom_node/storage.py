"""The Storage service: what becomes of an image that has arrived, and the status that its sender gets."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from sqlalchemy.exc import SQLAlchemyError

from archive.database import Database
from archive.files import ImageFiles
from archive.intake import Header, Outcome, Registered, StoredFile, register
from config.paths import DataDir
from config.settings import Settings
from dicom_node.beginning import Beginning
from dicom_node.header import HeaderUnreadable, read_header, read_open_header
from dicom_node.quarantine import Claim, quarantine
from dicom_node.spool import IncomingFile
from dicom_node.status import StoreStatus
from dicom_node.turn import Turn

logger = logging.getLogger(__name__)

LONGEST_AE_TITLE = 16
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True)
class Answer:
    """What became of a file: the status, why it was refused (without patient data), the row that stands for it."""

    status: StoreStatus
    reason: str = ""
    registered: Registered | None = None


class Storage:
    """Takes images in, durably.

    Args:
        announce: called with the id of each new image after its row is committed; must return at once.
    """

    def __init__(
        self, settings: Settings, folder: DataDir, database: Database, announce: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._database = database
        self._files = ImageFiles(folder)
        self._files.prepare()
        self._announce = announce
        self._turn = Turn(folder.run / "intake.lock")

    def handle_store(self, event: Event) -> int:
        """Answer a C-STORE request (PS3.4 Annex B).

        Returns:
            - 0x0000: the image is on the disk, under its final name, and its row is committed. Also for a SOP Instance
              UID that is there already: with the same bytes nothing changes; with other bytes and another Patient ID
              the file takes the image's place, which it corrects; else the first arrival stays, the new file is stored
              as its variant and people are alerted.
            - 0xA700: no space (less than `dicom.min_free_mib`, or the disk said so while writing, syncing or renaming),
              or the database could not be written. Nothing of the image can be seen; sending it again is right.
            - 0xA900: the Affected SOP Class or Instance UID is not that of the data set, or the class is not that of
              the presentation context. The file is in the quarantine.
            - 0xC210: the header cannot be parsed, or one of SOP Class, SOP Instance, Study Instance and Series Instance
              UID is missing or no UID. The file is in the quarantine.

        A missing Patient ID is no reason to refuse: emergencies come without. See `archive.intake.Header.label`.
        """
        request = event.request
        if not isinstance(request, C_STORE) or not isinstance(request.DataSet, IncomingFile):
            # A request that came without a data set.
            return int(StoreStatus.UNREADABLE)
        incoming = request.DataSet
        claim = Claim(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        calling_ae = str(event.assoc.requestor.ae_title).strip()
        with incoming:
            if claim.sop_class_uid != event.context.abstract_syntax:
                answer = self._refuse(incoming, claim, calling_ae, "the SOP class is not the negotiated one")
            else:
                answer = self.take(incoming, claim, calling_ae)
        if answer.status is not StoreStatus.SUCCESS:
            logger.warning(
                "Refused %s from %r with 0x%04X: %s.",
                claim.sop_instance_uid if _UID.fullmatch(claim.sop_instance_uid) else "an object without a valid UID",
                calling_ae,
                answer.status,
                answer.reason,
            )
        return int(answer.status)

    def take(self, incoming: IncomingFile, claim: Claim | None, calling_ae: str = "") -> Answer:
        """File a data set that is complete; see `handle_store` for what becomes of it.

        Args:
            claim: what the sender said about it; None = whatever its header says.
        """
        try:
            file = StoredFile(incoming.file_digest, incoming.length, calling_ae[:LONGEST_AE_TITLE])
            try:
                header = self._read_header(incoming)
            except HeaderUnreadable as error:
                return self._quarantine(incoming, file, claim, StoreStatus.UNREADABLE, error.reason)
            if claim is not None and (difference := _difference(claim, header)):
                return self._quarantine(incoming, file, claim, StoreStatus.MISMATCH, difference)
            with self._files.arriving():
                self._files.keep(incoming.finish(), file.file_digest)
                with self._turn:
                    registered = register(self._database, self._settings, header, file)
        except OSError as error:
            return Answer(StoreStatus.OUT_OF_RESOURCES, _why(error))
        except SQLAlchemyError as error:
            # The error's text holds the values that were to be written.
            return Answer(StoreStatus.OUT_OF_RESOURCES, f"the database cannot be written ({type(error).__name__})")
        if registered.outcome in (Outcome.NEW, Outcome.CORRECTED):
            self._announce(registered.instance_id)
        return Answer(StoreStatus.SUCCESS, registered=registered)

    def _read_header(self, incoming: IncomingFile) -> Header:
        if incoming.failure is not None:
            raise incoming.failure
        undeclared = self._settings.dicom.default_character_set
        beginning = Beginning(incoming.beginning)
        try:
            header = read_open_header(beginning, undeclared)
        except HeaderUnreadable:
            if not (beginning.passed and incoming.path):
                raise
            return read_header(incoming.finish(), undeclared)
        return read_header(incoming.finish(), undeclared) if beginning.passed and incoming.path else header

    def _refuse(self, incoming: IncomingFile, claim: Claim, calling_ae: str, reason: str) -> Answer:
        try:
            file = StoredFile(incoming.file_digest, incoming.length, calling_ae[:LONGEST_AE_TITLE])
            return self._quarantine(incoming, file, claim, StoreStatus.MISMATCH, reason)
        except OSError as error:
            return Answer(StoreStatus.OUT_OF_RESOURCES, _why(error))
        except SQLAlchemyError as error:
            return Answer(StoreStatus.OUT_OF_RESOURCES, f"the database cannot be written ({type(error).__name__})")

    def _quarantine(
        self, incoming: IncomingFile, file: StoredFile, claim: Claim | None, status: StoreStatus, reason: str
    ) -> Answer:
        quarantine(self._database, self._files, incoming.finish(), file, claim or Claim("", ""), status, reason)
        return Answer(status, reason)


def _difference(claim: Claim, header: Header) -> str:
    """How a data set differs from what was said about it, "" when it does not."""
    if claim.sop_class_uid != header.sop_class_uid:
        return "the SOP Class UID of the request is not that of the data set"
    if claim.sop_instance_uid != header.sop_instance_uid:
        return "the SOP Instance UID of the request is not that of the data set"
    return ""


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space is left"
    return f"the file cannot be written ({errno.errorcode.get(error.errno or 0, type(error).__name__)})"
