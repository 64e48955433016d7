"""The upper layer of an association (PS3.8), waiting for events instead of polling, without needless copies."""

from __future__ import annotations

import logging
import queue
import struct
import threading
from collections.abc import Callable
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from dicom_node.connection import ImageSocket, ReceivedData
from dicom_node.messages import ImageDimse
from dicom_node.spool import IncomingFile
from dicom_node.straight import SHORTEST, ExpectedData, MiddleOfData, fragment_bytes

logger = logging.getLogger(__name__)

# How long the upper layer's thread waits for its next event before it looks whether the association has ended.
_WAIT_SECONDS = 0.5
_POLL_SECONDS = 0.001
# How long the peer may take to close the connection by itself after an abort or a rejection.
_LINGER_SECONDS = 0.5
_A_ASSOCIATE_RQ, _P_DATA_TF = 0x01, 0x04
# Association requests are some 10 KiB long; with all 128 presentation contexts and 40 transfer syntaxes each, 150 KiB.
_LONGEST_OTHER_PDU = 256 << 10
_LONGEST_DATA_PDU = 1 << 20


class ImageDul(DULServiceProvider):
    """The upper layer, waiting for events instead of polling, and reading data PDUs without needless copies.

    Args:
        on_end: called when the connection has ended, however it ended.

    Attributes:
        ended: whether that is so; true before `on_end` is called.
    """

    def __init__(self, assoc: Association, dimse: ImageDimse, on_end: Callable[[], None]) -> None:
        super().__init__(assoc)
        self._on_end = on_end
        self.ended = False
        self._dimse = dimse
        self._outgoing = threading.Event()
        self.to_user_queue = WakingQueue(dimse.msg_queue)

    def send_pdu(self, primitive: Any) -> None:
        """Queue a primitive for the peer and wake the thread that sends it."""
        super().send_pdu(primitive)
        self._wake()

    def kill_dul(self) -> None:
        """Have the thread end."""
        super().kill_dul()
        self._wake()

    def _wake(self) -> None:
        self._outgoing.set()
        if isinstance(self.socket, ImageSocket):
            self.socket.ring()

    def run_reactor(self) -> None:
        """Run until the association ends; what was half received then is removed."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001
            # What the state machine has no answer to; its text may quote what was sent.
            logger.warning("An association ended out of step (%s).", type(error).__name__)
            self._kill_thread = True
            self.assoc.is_aborted = True
            self.assoc.is_established = False
            if self.socket is not None:
                self.socket.close()
        finally:
            self._dimse.drop_unfinished()
            if isinstance(self.socket, ImageSocket):
                self.socket.forget()
            # Whoever waits for an association request need not wait until its time is over.
            self.to_user_queue.put(None)
            self.ended = True
            self._on_end()

    def idle_timer_expired(self) -> bool:
        """Whether nothing has come for too long; while a request is being answered, nothing need come."""
        return not self._dimse.answering and bool(super().idle_timer_expired())

    def _process_recv_primitive(self) -> bool:
        """Begin to send what the association's user wants sent; after an abort nothing may be, so it is dropped."""
        if self.state_machine.current_state in ("Sta1", "Sta13"):
            while not self.to_provider_queue.empty():
                self.to_provider_queue.get_nowait()
            return False
        return super()._process_recv_primitive()

    def _is_transport_event(self) -> bool:
        if not self.event_queue.empty():
            # What has come decides whether more is read at all.
            return False
        connection = self.socket
        state = self.state_machine.current_state
        if isinstance(connection, ImageSocket) and state == "Sta13":
            return self._discard(connection)
        if state == "Sta3":
            # The association's own thread negotiates, and says when it has an answer.
            self._run_loop_delay = 0.0
            if self._outgoing.wait(_WAIT_SECONDS):
                self._outgoing.clear()
                return False
            return super()._is_transport_event()
        if not isinstance(connection, ImageSocket) or state != "Sta6":
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
        stream = self._dimse.stream
        if stream is None:
            self._read_pdu_data()
        else:
            self._read_stream(connection, *stream)
        return True

    def _discard(self, connection: ImageSocket) -> bool:
        """After an abort or a rejection: whatever still comes means nothing, then the connection is closed."""
        try:
            while connection.discard(_LINGER_SECONDS):
                if self._kill_thread or self.artim_timer.expired:
                    break
        except OSError as error:
            logger.debug("The peer was gone before the connection was closed (%s).", type(error).__name__)
        connection.close()
        return True

    def _read_stream(self, connection: ImageSocket, context_id: int, file: IncomingFile) -> None:
        """Read data PDUs into the file of a C-STORE request while they hold nothing but the middle of its data set.

        Whatever else comes, the last fragment included, is left to the state machine. Only PDUs that begin count as
        traffic: a peer that sends one byte now and then is idle.
        """
        rest, head = 0, b""
        while not self._kill_thread and self.to_provider_queue.empty():
            with connection.buffered as data:
                middle = MiddleOfData(data, context_id, rest, self._longest(_P_DATA_TF))
                if middle.pieces:
                    file.write_pieces(middle.pieces)
                middle.release()
            connection.use(middle.used)
            if middle.head:
                self._idle_timer.restart()
            rest, head = middle.rest, middle.head or head
            if middle.ended:
                self._read_pdu_data()
                return
            try:
                more, rest = self._read_data(connection, file, rest, head)
            except OSError:
                more = None
            if more is None:
                self.event_queue.put("Evt17")
                return
        if rest:
            # This side ends the association; nothing that follows could be understood.
            self._dimse.drop_unfinished()

    def _read_data(
        self, connection: ImageSocket, file: IncomingFile, rest: int, head: bytes
    ) -> tuple[bool | None, int]:
        """Read what comes next, as `ImageSocket.read_more`, and what is then still to come of the last fragment.

        Where it belongs if it is the middle of a data set as before; else, and at first, into the connection's memory.
        """
        is_long = bool(head) and fragment_bytes(head) >= SHORTEST
        room = file.room if is_long and connection.reads_straight else None
        if room is None:
            return connection.read_more(_WAIT_SECONDS), rest
        expected = ExpectedData(room, rest, head)
        try:
            more = connection.read_expected(expected, _WAIT_SECONDS)
        finally:
            expected.release()
            room.release()
        if expected.filled:
            file.fill(expected.filled)
        if expected.begun:
            self._idle_timer.restart()
        return more, expected.rest

    def _read_pdu_data(self) -> None:
        head = self._read(6)
        if head is None:
            return
        kind, length = struct.unpack(">BxL", head)
        if length > self._longest(kind):
            logger.warning("The peer announced a PDU of %d bytes, more than was agreed; aborting.", length)
            self.event_queue.put("Evt19")
            return
        if kind != _A_ASSOCIATE_RQ and self.state_machine.current_state == "Sta2":
            # Whatever follows would be answered by an abort as well.
            logger.warning("The peer did not begin with an association request; aborting.")
            self.event_queue.put("Evt19")
            return
        body = self._read(length)
        if body is None:
            return
        if kind == _P_DATA_TF and self.state_machine.current_state == "Sta6":
            self._take_data(body)
        else:
            self._take_other(head + body)

    def _take_other(self, content: bytearray) -> None:
        try:
            pdu, event = self._decode_pdu(content)
            # What the state machine will do; it does not survive values that no PDU may have. A request with 128
            # presentation contexts takes milliseconds, and is not taken apart twice.
            primitive = pdu.to_primitive()
            vars(pdu)["to_primitive"] = lambda: primitive
        except Exception as error:  # noqa: BLE001
            # Garbage makes the decoder fail in every way; what it says may quote what was sent.
            logger.warning("A PDU cannot be decoded (%s); aborting.", type(error).__name__)
            self.event_queue.put("Evt19")
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _longest(self, kind: int) -> int:
        # Some senders count the PDU's own header into the agreed length, or round up.
        return (
            (self.assoc.acceptor.maximum_length or _LONGEST_DATA_PDU) + 1024
            if kind == _P_DATA_TF
            else _LONGEST_OTHER_PDU
        )

    def _take_data(self, body: bytearray) -> None:
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
