"""pynetdicom's association, with a receive path for large images: less copying, no polling, nothing kept in memory.

pynetdicom 3.0 reads in pieces of 4 KiB, copies each PDU six times, sleeps up to a millisecond between two PDUs, trusts
the length that a PDU claims, and ends the association when a file cannot be written. The classes below replace those
steps and nothing else; negotiation, state machine and services are pynetdicom's own.
"""

from __future__ import annotations

import logging
import queue
import select
import socket
import struct
import threading
from functools import partial
from io import BytesIO
from typing import Any, cast

from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dul import DULServiceProvider
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from config.errors import LungprintError
from dicom_node.spool import IncomingFile, Spool

logger = logging.getLogger(__name__)

# How long a thread waits for its next event before it looks whether the association has ended.
_WAIT_SECONDS = 0.05
_POLL_SECONDS = 0.001
_P_DATA_TF = 0x04
# Association requests with many presentation contexts are some 10 KiB long.
_LONGEST_OTHER_PDU = 1 << 20
# Commands and the data sets of services other than C-STORE.
_LONGEST_IN_MEMORY = 1 << 20


class ImageSocket(AssociationSocket):
    """A connection that is read in as few system calls as possible."""

    def __init__(self, assoc: Association, client_socket: socket.socket, idle_seconds: float | None) -> None:
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A time-out of the kernel's, since with one of Python's MSG_WAITALL does not wait.
        seconds, fraction = divmod(idle_seconds or 0.0, 1.0)
        timeout = struct.pack("ll", int(seconds), int(fraction * 1e6))
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        super().__init__(assoc, client_socket)
        self._poll = select.poll()
        self._poll.register(client_socket, select.POLLIN)
        self._unread = bytearray()

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read, waiting for it so long at most."""
        if self.socket is None or self._unread:
            return bool(self._unread)
        return bool(self._poll.poll(seconds * 1000))

    def unread(self, data: bytearray) -> None:
        """Have these bytes read again."""
        self._unread = data + self._unread

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly `nr_bytes` bytes, fewer only when the peer has closed the connection.

        Raises:
            OSError: the connection is broken, or nothing came for as long as an association may idle.
        """
        if self._unread:
            first, self._unread = self._unread[:nr_bytes], self._unread[nr_bytes:]
            return first + self.recv(nr_bytes - len(first)) if len(first) < nr_bytes else first
        if self.socket is None:
            raise OSError("the connection is closed")
        buffer = bytearray(nr_bytes)
        filled = 0
        with memoryview(buffer) as view:
            while filled < nr_bytes:
                count = self.socket.recv_into(view[filled:], nr_bytes - filled, socket.MSG_WAITALL)
                if count == 0:
                    break
                filled += count
        # Acknowledge at once: senders that wait for it before their next small segment (Nagle) lose 40 ms otherwise.
        # Linux forgets the option, so it is set each time.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return buffer if filled == nr_bytes else buffer[:filled]


class ReceivedData(P_DATA_TF):
    """A P-DATA-TF PDU (PS3.8 9.3.5) whose values are views of the bytes that were read."""

    def __init__(self, body: bytearray) -> None:
        """Take a PDU apart.

        Raises:
            ValueError: the lengths of its items do not add up.
        """
        super().__init__()
        self._values: list[tuple[int, bytes]] = []
        view, offset = memoryview(body), 0
        while offset < len(body):
            if offset + 6 > len(body):
                raise ValueError("a presentation data value is cut off")
            length, context_id = struct.unpack_from(">LB", body, offset)
            if length < 2 or offset + 4 + length > len(body):
                raise ValueError("a presentation data value has an impossible length")
            # pynetdicom only looks at the first byte and hands the rest to a file, which a view can do as well.
            self._values.append((context_id, cast(bytes, view[offset + 5 : offset + 4 + length])))
            offset += 4 + length

    def to_primitive(self) -> P_DATA:
        """The P-DATA indication of this PDU."""
        primitive = P_DATA()
        primitive.presentation_data_value_list.extend(self._values)
        return primitive


class ImageDul(DULServiceProvider):
    """The upper layer, waiting for events instead of polling, and reading data PDUs without needless copies."""

    def __init__(self, assoc: Association, dimse: ImageDimse) -> None:
        super().__init__(assoc)
        self._dimse = dimse
        self._outgoing = threading.Event()
        self.to_user_queue = WakingQueue(dimse.msg_queue)

    def send_pdu(self, primitive: Any) -> None:
        """Queue a primitive for the peer and wake the thread that sends it."""
        super().send_pdu(primitive)
        self._outgoing.set()

    def run_reactor(self) -> None:
        """Run until the association ends; what was half received then is removed."""
        try:
            super().run_reactor()
        finally:
            self._dimse.drop_unfinished()

    def _is_transport_event(self) -> bool:
        connection = self.socket
        if self.state_machine.current_state != "Sta6" or not isinstance(connection, ImageSocket):
            self._run_loop_delay = _POLL_SECONDS
            return super()._is_transport_event()
        # Data transfer: this method does the waiting, so that the loop around it need not sleep.
        self._run_loop_delay = 0.0
        if self._dimse.answering:
            if self._outgoing.wait(_WAIT_SECONDS):
                self._outgoing.clear()
                return False
            if not connection.wait(0.0):
                return False
            self._dimse.answering = False
        elif not self.to_provider_queue.empty() or not connection.wait(_WAIT_SECONDS):
            return False
        self._read_pdu_data()
        return True

    def _read_pdu_data(self) -> None:
        head = self._read(6)
        if head is None:
            return
        kind, length = struct.unpack(">BxL", head)
        if length > self._longest(kind):
            logger.warning("The peer announced a PDU of %d bytes, more than was agreed; aborting.", length)
            self.event_queue.put("Evt19")
        elif kind == _P_DATA_TF and self.state_machine.current_state == "Sta6":
            self._read_data(length)
        else:
            self._connection.unread(head)
            super()._read_pdu_data()

    def _longest(self, kind: int) -> int:
        # Some senders count the PDU's own header into the agreed length, or round up.
        return (
            (self.assoc.acceptor.maximum_length or _LONGEST_OTHER_PDU) + 1024
            if kind == _P_DATA_TF
            else _LONGEST_OTHER_PDU
        )

    def _read_data(self, length: int) -> None:
        body = self._read(length)
        if body is None:
            return
        try:
            pdu = ReceivedData(body)
        except ValueError:
            self.event_queue.put("Evt19")
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put("Evt10")

    @property
    def _connection(self) -> ImageSocket:
        assert isinstance(self.socket, ImageSocket)
        return self.socket

    def _read(self, length: int) -> bytearray | None:
        """So many bytes; None when the connection ended or failed before, which the state machine is told."""
        try:
            data = self._connection.recv(length)
        except OSError:
            data = bytearray()
        if len(data) == length:
            return data
        self.event_queue.put("Evt17")
        return None


class WakingQueue(queue.Queue[Any]):
    """A queue that tells another thread when something was put in."""

    def __init__(self, wake: queue.Queue[Any]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in and wake the reader of the other queue with an empty message."""
        super().put(item, block, timeout)
        self._wake.put((None, None))


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


class ImageRequestHandler(RequestHandler):
    """Makes the association for a connection out of the parts above."""

    server: ImageServer

    def _create_association(self) -> Association:
        association = super()._create_association()
        dimse = ImageDimse(association, self.server.spool)
        association.dimse = dimse
        association.dul = ImageDul(association, dimse)
        # The timers are the upper layer's: setting a time-out again hands it to the new one.
        association.acse_timeout = self.ae.acse_timeout
        association.network_timeout = self.ae.network_timeout
        association.set_socket(ImageSocket(association, self.request, self.ae.network_timeout))
        return association


class ImageServer(ThreadedAssociationServer):
    """Accepts connections, each an association of its own that streams into the spool.

    Raises:
        OSError: the address cannot be bound.
    """

    request_queue_size = 128

    def __init__(
        self, ae: ApplicationEntity, address: tuple[str, int], spool: Spool, handlers: list[EventHandlerType]
    ) -> None:
        self.spool = spool
        super().__init__(
            ae,
            address,
            ae.ae_title,
            ae.supported_contexts,
            evt_handlers=handlers,
            request_handler=ImageRequestHandler,
        )


def is_answering(association: Association) -> bool:
    """Whether a complete request of this association waits for its answer."""
    return isinstance(association.dimse, ImageDimse) and association.dimse.answering


def prefer_as_proposed(association: Association) -> None:
    """Have each presentation context accepted in the first acceptable transfer syntax of the requestor's own list.

    pynetdicom takes the first of ours, which makes a sender that offers an image as it is, or else decompressed,
    decompress it. To be called before the negotiation.
    """
    request = association.requestor.primitive
    proposed = request.presentation_context_definition_list if request is not None else []
    for supported in association.acceptor.supported_contexts:
        wishes: list[UID] = [
            syntax
            for context in proposed
            if context.abstract_syntax == supported.abstract_syntax
            for syntax in context.transfer_syntax
        ]
        rank = {syntax: place for place, syntax in enumerate(dict.fromkeys(wishes))}
        supported.transfer_syntax = sorted(supported.transfer_syntax, key=partial(_place, rank))


def _place(rank: dict[UID, int], syntax: str | bytes) -> int:
    return rank.get(UID(str(syntax)), len(rank))
