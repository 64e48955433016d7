"""The processes that share the connections of one listener: forked, kept running, each given connections in turn."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from config.errors import LungprintError
from dicom_node.doorway import Caller, Doorway, NoRoom

logger = logging.getLogger(__name__)

# A process that ends sooner than this is started again with a pause, not at once.
_STEADY_SECONDS = 5.0
_PAUSE_SECONDS = 0.5
_LONGEST_MESSAGE = 256

Work = Callable[["Channel"], None]


class Channel:
    """A forked process's end of its line to the one that accepts connections."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def next_connection(self) -> tuple[socket.socket, Caller] | None:
        """The next connection to serve and who it is, waiting for it; None when no more will come."""
        try:
            message, files, _, _ = socket.recv_fds(self._line, _LONGEST_MESSAGE, 1)
        except OSError:
            return None
        if not message or not files:
            return None
        host, port, door = message.decode().split()
        return socket.socket(fileno=files[0]), Caller(host, int(port), int(door))

    def say_ended(self, host: str) -> None:
        """Tell that a connection from this address has ended."""
        try:
            self._line.send(host.encode())
        except OSError as error:
            # The other side has gone, and this process is about to end.
            logger.debug("Nobody counts connections any more (%s).", type(error).__name__)

    def close(self) -> None:
        """Take no more connections; a thread that waits in `next_connection` returns."""
        self._line.shutdown(socket.SHUT_RD)


@dataclass
class _Hand:
    pid: int
    line: socket.socket
    started: float
    # Connections by whose share they count towards.
    open: Counter[str] = field(default_factory=Counter)
    # When the last of them was given to it.
    given: float = 0.0


@dataclass(frozen=True)
class Shares:
    """How many connections may be open, associations or not.

    Attributes:
        most: in all.
        owner: whose connections those from an address are.
        most_of: of one owner, so that nobody takes all.
    """

    most: int
    owner: Callable[[str], str]
    most_of: Callable[[str], int]


class Crew:
    """Processes that are forked from this one and each run `work`; to be used from a process with a single thread.

    Args:
        count: how many.
        shares: connections that they may have open together; what comes beyond them is turned away.
        work: run in each; returns when its channel gives no more connections or SIGTERM arrives.
        on_death: called with the id of a process that ended by itself, before it is replaced.
    """

    def __init__(
        self, doorway: Doorway, count: int, shares: Shares, work: Work, on_death: Callable[[int], None]
    ) -> None:
        self._doorway = doorway
        self._shares = shares
        self._work = work
        self._on_death = on_death
        self._hands: list[_Hand] = []
        for _ in range(count):
            self._start()

    def hand_over(self, connection: socket.socket, caller: Caller) -> None:
        """Give a connection to the process with the fewest of its owner's; among those, with the fewest; then in turn.

        So one peer's associations work side by side, whatever others have open, and what comes and goes all the time
        burdens no process more than another.

        Raises:
            NoRoom: more are open than may be, of its owner or in all.
            OSError: it could not be given.
        """
        owner = self._shares.owner(caller.host)
        if sum(hand.open.total() for hand in self._hands) >= self._shares.most:
            raise NoRoom("more connections are open in all than may be.")
        if sum(hand.open[owner] for hand in self._hands) >= self._shares.most_of(owner):
            raise NoRoom("more connections are open from its address than may be.")
        hand = min(self._hands, key=lambda one: (one.open[owner], one.open.total(), one.given))
        message = f"{caller.host} {caller.port} {caller.door}".encode()
        socket.send_fds(hand.line, [message], [connection.fileno()])
        hand.open[owner] += 1
        hand.given = time.monotonic()
        connection.close()

    def stop(self, seconds: float) -> None:
        """Ask all to end, and kill who has not ended after so many seconds."""
        for hand in self._hands:
            self._doorway.forget(hand.line.fileno())
            os.kill(hand.pid, signal.SIGTERM)
        until = time.monotonic() + seconds
        left = [hand.pid for hand in self._hands]
        while left and time.monotonic() < until:
            left = [pid for pid in left if os.waitpid(pid, os.WNOHANG)[0] == 0]
            time.sleep(0.01)
        for pid in left:
            logger.warning("Process %d did not end in time and is killed.", pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._hands = []

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Collecting garbage writes to each object it looks at, and what is written to is no longer shared.
        gc.collect()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for hand in self._hands:
                hand.line.close()
            self._doorway.abandon()
            _run(self._work, Channel(theirs))
        gc.unfreeze()
        theirs.close()
        ours.setblocking(False)
        hand = _Hand(pid, ours, time.monotonic())
        self._hands.append(hand)
        self._doorway.watch(ours.fileno(), lambda: self._listen_to(hand))

    def _listen_to(self, hand: _Hand) -> None:
        try:
            heard = hand.line.recv(_LONGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        if heard:
            hand.open[self._shares.owner(heard.decode())] -= 1
            return
        self._doorway.forget(hand.line.fileno())
        self._hands.remove(hand)
        hand.line.close()
        _, status = os.waitpid(hand.pid, 0)
        logger.error("Process %d ended with status %d; another one takes its place.", hand.pid, status)
        self._on_death(hand.pid)
        if time.monotonic() - hand.started < _STEADY_SECONDS:
            time.sleep(_PAUSE_SECONDS)
        self._start()


def _run(work: Work, channel: Channel) -> None:
    """Do the work and end the process, never returning into what the other one was doing."""
    code = 1
    try:
        # Ctrl-C reaches the whole group; the process that accepts tells the others.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: channel.close())
        work(channel)
        code = 0
    except LungprintError as error:
        sys.stderr.write(f"{error}\n")
    except BaseException:
        logger.critical("This process ends for a reason that nobody foresaw.", exc_info=True)
    finally:
        logging.shutdown()
        os._exit(code)
