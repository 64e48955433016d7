"""A doorway that a test knocks at."""

from __future__ import annotations

import socket
import struct
import threading
import time

from dicom_node.doorway import Doorway, HandOver
from dicom_node.tls import Certificates

REQUEST = struct.pack(">BxL", 1, 200) + bytes(200)


class Open:
    """A doorway that is looked at all the time, and what it handed over."""

    def __init__(
        self, seconds: float, hand_over: HandOver | None = None, certificates: Certificates | None = None
    ) -> None:
        self.given: list[socket.socket] = []
        self.doorway = Doorway(hand_over or (lambda connection, _: self.given.append(connection)), seconds)
        self.address = self.doorway.open("127.0.0.1", 0, certificates)
        self.ended = False
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.ended:
            self.doorway.look(0.02)

    def connect(self) -> socket.socket:
        made = socket.create_connection(self.address)
        made.settimeout(20)
        return made

    def came(self, count: int) -> bool:
        until = time.monotonic() + 10
        while len(self.given) < count and time.monotonic() < until:
            time.sleep(0.01)
        return len(self.given) == count

    def close(self) -> None:
        self.ended = True
        self.thread.join()
        self.doorway.close()
        for connection in self.given:
            connection.close()
