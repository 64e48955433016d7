"""The message layer of an association: commands in memory, the data set of a C-STORE request straight into a file."""

from __future__ import annotations

import logging
import queue
from io import BytesIO
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from config.errors import LungprintError
from dicom_node.spool import IncomingFile, Spool

logger = logging.getLogger(__name__)

# How long the association's thread waits for a message before it looks whether the association has ended.
_WAIT_SECONDS = 0.05
# Commands and the data sets of services other than C-STORE.
_LONGEST_IN_MEMORY = 1 << 20


class MessageUnreadable(LungprintError):
    """A peer sent a message that makes no sense."""


class ImageDimse(DIMSEServiceProvider):
    """The message layer, which streams the data set of a C-STORE request into a file of the spool.

    Attributes:
        answering: whether a request is complete and its response not yet sent.
    """

    def __init__(self, assoc: Association, spool: Spool) -> None:
        super().__init__(assoc)
        self.answering = False
        self._spool = spool
        self._in_memory = 0

    @property
    def stream(self) -> tuple[int, IncomingFile] | None:
        """Presentation context and file of the C-STORE request whose data set is being received."""
        message = self.message
        if message is None or not isinstance(message.data_set, IncomingFile):
            return None
        return cast(int, message.context_id), message.data_set

    def get_msg(self, block: bool = False) -> Any:
        """The next complete message, waiting for it a moment, else (None, None)."""
        try:
            return self.msg_queue.get(timeout=self.dimse_timeout if block else _WAIT_SECONDS)
        except queue.Empty:
            return None, None

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message; the peer's next request is read as soon as this one is out."""
        super().send_msg(primitive, context_id)
        self.answering = False

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Collect a message from its fragments; a message that makes no sense ends the association, nothing else."""
        for value in primitive.presentation_data_value_list:
            single = P_DATA()
            single.presentation_data_value_list.append(value)
            try:
                self._receive(single, len(value[1]))
            except MessageUnreadable as error:
                logger.warning("%s Aborting the association.", error)
                self.drop_unfinished()
                self.dul.event_queue.put("Evt19")
                return

    def drop_unfinished(self) -> None:
        """Forget a message that was half received, and its file."""
        message, self.message = self.message, None
        if message is not None and isinstance(message.data_set, IncomingFile):
            message.data_set.close()

    def _receive(self, primitive: P_DATA, length: int) -> None:
        # Before the message is handed over: its answer may be out sooner than the next line is reached.
        self.answering = True
        try:
            super().receive_primitive(primitive)
        except Exception as error:
            # Garbage makes the decoder fail in every way; its text may quote what was sent.
            raise MessageUnreadable(f"A message cannot be decoded ({type(error).__name__}).") from error
        message = self.message
        if message is None:
            self._in_memory = 0
            return
        self.answering = False
        if isinstance(message, C_STORE_RQ):
            if type(message.data_set) is BytesIO:
                message.data_set = self._open(message)
        else:
            self._in_memory += length
            if self._in_memory > _LONGEST_IN_MEMORY:
                raise MessageUnreadable("A message is longer than any of its kind.")

    def _open(self, message: C_STORE_RQ) -> IncomingFile:
        context = self.assoc._accepted_cx[cast(int, message.context_id)]
        command = message.command_set
        return self._spool.open(
            str(command.AffectedSOPClassUID), str(command.AffectedSOPInstanceUID), str(context.transfer_syntax[0])
        )
