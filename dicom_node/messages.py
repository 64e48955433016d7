"""The message layer of an association: commands in memory, data sets of C-STORE requests straight into the spool."""

from __future__ import annotations

import logging
import queue
import threading
from io import BytesIO
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE, DIMSEPrimitive
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from config.errors import LungprintError
from dicom_node.quick_encoding import command_pdu, store_response
from dicom_node.services import STORAGE_COMMITMENT, VERIFICATION
from dicom_node.spool import IncomingFile, Spool
from dicom_node.status import StoreStatus

logger = logging.getLogger(__name__)

# How long the association's thread waits for a message before it looks whether the association has ended.
_WAIT_SECONDS = 0.25
# Commands and the data sets of services other than C-STORE.
_LONGEST_IN_MEMORY = 1 << 20


class MessageUnreadable(LungprintError):
    """A peer sent a message that makes no sense."""


class ImageDimse(DIMSEServiceProvider):
    """The message layer, which streams the data set of a C-STORE request into the spool and answers it at once.

    Other requests wait for the association's own thread, as pynetdicom has it. A C-STORE request is answered in the
    thread that reads the connection: each change of threads costs a small image more than its way to the disk.

    Attributes:
        answering: whether a request is complete and its response not yet sent.
    """

    def __init__(self, assoc: Association, spool: Spool) -> None:
        super().__init__(assoc)
        self.answering = False
        self._spool = spool
        self._in_memory = 0
        self._inbox = Inbox()
        self.msg_queue = self._inbox
        # What is sent goes out message by message: fragments of two must not be mixed (PS3.8 Annex E.1).
        self._sending = threading.Lock()

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
        with self._sending:
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
        self._inbox.owes = False
        try:
            super().receive_primitive(primitive)
        except Exception as error:
            # Garbage makes the decoder fail in every way; its text may quote what was sent.
            raise MessageUnreadable(f"A message cannot be decoded ({type(error).__name__}).") from error
        message = self.message
        if message is None:
            self._in_memory = 0
            for context_id, request in self._inbox.take_images():
                self._answer(context_id, request)
            if not self._inbox.owes:
                # All is answered, or calls for no answer: an association that is silent from now on is idle.
                self.answering = False
            return
        self.answering = False
        if isinstance(message, C_STORE_RQ):
            if type(message.data_set) is BytesIO:
                message.data_set = self._open(message)
        else:
            self._in_memory += length
            if self._in_memory > _LONGEST_IN_MEMORY:
                raise MessageUnreadable("A message is longer than any of its kind.")

    def _answer(self, context_id: int, request: C_STORE) -> None:
        """Have a C-STORE request handled (PS3.7 9.1.1) and send the response."""
        context = self.assoc._accepted_cx.get(context_id)
        is_image = context is not None and context.abstract_syntax not in (VERIFICATION, STORAGE_COMMITMENT)
        if context is None or not is_image or not request.is_valid_request:
            # What makes no sense is told so by pynetdicom.
            self._inbox.put_back(context_id, request)
            return
        try:
            event = {"request": request, "context": context.as_tuple}
            status = int(cast(int, evt.trigger(self.assoc, evt.EVT_C_STORE, event)))
        except Exception:
            # The log shows the place and the type of the error, see `config.logs`.
            logger.error("An image could not be taken for a reason nobody foresaw.", exc_info=True)
            status = int(StoreStatus.FAILED)
        # The association's own thread may still be about to say that it is established.
        if self.dul.state_machine.current_state == "Sta6" and not self.assoc.is_aborted:
            self._respond(context_id, request, status)
        self.dul._idle_timer.restart()

    def _respond(self, context_id: int, request: C_STORE, status: int) -> None:
        pdu = command_pdu(context_id, store_response(request, status))
        longest = self.maximum_pdu_size or len(pdu)
        with self._sending:
            # In the thread that sends: what others have queued is out, or has begun, and goes first.
            if len(pdu) <= longest and self.dul.to_provider_queue.empty():
                cast(AssociationSocket, self.dul.socket).send(pdu)
                return
        response = C_STORE()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
        response.Status = status
        self.send_msg(response, context_id)

    def _open(self, message: C_STORE_RQ) -> IncomingFile:
        context = self.assoc._accepted_cx[cast(int, message.context_id)]
        command = message.command_set
        return self._spool.open(
            str(command.AffectedSOPClassUID), str(command.AffectedSOPInstanceUID), str(context.transfer_syntax[0])
        )


class Inbox(queue.Queue[Any]):
    """Messages for the association's own thread; requests to store an image are kept aside.

    Attributes:
        owes: whether a request was left to that thread, which will answer it, since this was last set to false.
    """

    def __init__(self) -> None:
        super().__init__()
        self.owes = False
        self._images: list[tuple[int, C_STORE]] = []

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put a message in, with its presentation context."""
        context_id, message = item
        if isinstance(message, C_STORE):
            self._images.append((context_id, message))
        else:
            if isinstance(message, DIMSEPrimitive) and message.is_valid_request:
                self.owes = True
            super().put(item, block, timeout)

    def put_back(self, context_id: int, message: C_STORE) -> None:
        """Leave a request to the association's own thread after all."""
        self.owes = message.is_valid_request
        super().put((context_id, message))

    def take_images(self) -> list[tuple[int, C_STORE]]:
        """The requests to store an image since the last call; for the thread that puts them in."""
        images, self._images = self._images, []
        return images
