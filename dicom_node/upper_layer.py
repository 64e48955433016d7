"""The upper layer of an association (PS3.8), waiting for events instead of polling, without needless copies."""

from __future__ import annotations

import logging
import queue
import struct
import threading
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from dicom_node.connection import ImageSocket, ReceivedData
from dicom_node.messages import ImageDimse
from dicom_node.spool import IncomingFile

logger = logging.getLogger(__name__)

# How long the upper layer's thread waits for its next event before it looks whether the association has ended.
_WAIT_SECONDS = 0.05
_POLL_SECONDS = 0.001
_P_DATA_TF = 0x04
# Association requests with many presentation contexts are some 10 KiB long.
_LONGEST_OTHER_PDU = 1 << 20


class ImageDul(DULServiceProvider):
    """The upper layer, waiting for events instead of polling, and reading data PDUs without needless copies."""

    def __init__(self, assoc: Association, dimse: ImageDimse) -> None:
        super().__init__(assoc)
        self._dimse = dimse
        self._outgoing = threading.Event()
        self._buffer = memoryview(bytearray(self._longest(_P_DATA_TF)))
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
        stream = self._dimse.stream
        if stream is None:
            self._read_pdu_data()
        else:
            self._read_stream(connection, *stream)
        return True

    def _read_stream(self, connection: ImageSocket, context_id: int, file: IncomingFile) -> None:
        """Read PDUs straight into the file of a C-STORE request while they hold nothing but the middle of its data set.

        Whatever else comes, the last fragment included, is left to the state machine.
        """
        while not self._kill_thread and self.to_provider_queue.empty() and connection.wait(_WAIT_SECONDS):
            self._idle_timer.restart()
            head = self._read(6)
            if head is None:
                return
            kind, length = struct.unpack(">BxL", head)
            if kind != _P_DATA_TF or not 6 < length <= len(self._buffer):
                connection.unread(head)
                self._read_pdu_data()
                return
            view = self._buffer[:length]
            try:
                whole = connection.recv_into(view) == length
            except OSError:
                whole = False
            if not whole:
                self.event_queue.put("Evt17")
                return
            size, context, control = struct.unpack_from(">LBB", view)
            if size + 4 != length or context != context_id or control & 3:
                self._take_data(bytearray(view))
                return
            file.write(view[6:])

    def _read_pdu_data(self) -> None:
        head = self._read(6)
        if head is None:
            return
        self._connection.acknowledge()
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
        if body is not None:
            self._take_data(body)

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
