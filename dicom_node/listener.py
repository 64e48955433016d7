"""The DICOM listener, a system of processes: `python -m dicom_node.listener` serves the one in LUNGPRINT_DATA_DIR."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

from archive.database import Database, open_database
from config.paths import DataDir
from config.program import run
from config.settings import Dicom, Settings
from dicom_node.crew import Channel, Crew, Shares
from dicom_node.discretion import keep_values_private
from dicom_node.doorway import Doorway
from dicom_node.peers import Peers
from dicom_node.places import Places
from dicom_node.reception import FINISH_SECONDS, Doors, Reception
from dicom_node.spool import Spool
from dicom_node.tls import Certificates

logger = logging.getLogger(__name__)

MOST_PROCESSES = 4
# Connections that may be open for each association that may be: room to reject what is too many as the standard asks.
CONNECTIONS_FOR_EACH = 4
STOP_SECONDS = FINISH_SECONDS + 3.0


class Listener:
    """A listener within one process and its threads, for programs that receive images beside other work.

    Attributes:
        tls_port: the port that is listened on for TLS, if any.
    """

    def __init__(self, settings: Settings, folder: DataDir, database: Database) -> None:
        self._settings = settings
        self._folder = folder
        self._database = database
        self.tls_port: int | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._reception: Reception | None = None

    def start(self) -> tuple[str, int]:
        """Begin to accept associations; returns the address that is listened on.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        _sweep(self._folder)
        doorway = Doorway(lambda *asked: reception.take(*asked), self._settings.dicom.idle_seconds)
        doors = _open(doorway, self._settings)
        places = Places(self._settings.dicom.max_associations, self._settings.dicom.max_associations_per_peer)
        reception = Reception(self._settings, self._folder, self._database, doors, places, lambda _host: None)
        self._reception = reception
        self.tls_port = doors.secured
        self._thread = threading.Thread(target=self._serve, args=(doorway,), name="doorway", daemon=True)
        self._thread.start()
        return doors.host, doors.plain

    def stop(self) -> None:
        """Accept nothing more, answer what is complete, abort the rest; what was not answered will be sent again."""
        if self._reception is None or self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self._reception.stop()
        self._reception = None

    def _serve(self, doorway: Doorway) -> None:
        while not self._ended.is_set():
            doorway.look(0.1)
        doorway.close()


def serve(settings: Settings, folder: DataDir) -> None:
    """Listen until SIGTERM or SIGINT: this process accepts connections, those it forks serve them.

    Raises:
        LungprintError: the address, the data folder or the database is not usable.
    """
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    folder.create()
    # Closed before the first fork: a connection to a database must not be shared.
    database = open_database(settings, folder)
    database.migrate()
    database.close()
    _sweep(folder)
    dicom = settings.dicom
    doorway = Doorway(lambda *asked: crew.hand_over(*asked), dicom.idle_seconds)
    doors = _open(doorway, settings)
    places = Places(dicom.max_associations, dicom.max_associations_per_peer)

    def work(channel: Channel) -> None:
        _serve_share(settings, folder, doors, places, channel)

    def clear_up(process: int) -> None:
        places.forget(process)
        _sweep(folder)

    count = dicom.processes or min(os.cpu_count() or 1, MOST_PROCESSES)
    crew = Crew(doorway, count, _shares(dicom), work, clear_up)
    secured = "" if doors.secured is None else f", and over TLS on port {doors.secured}"
    logger.info("Listening as %s on %s:%d%s.", dicom.ae_title, doors.host, doors.plain, secured)
    while not ended.is_set():
        doorway.look()
    logger.info("Stopping.")
    crew.stop(STOP_SECONDS)
    doorway.close()


def _shares(options: Dicom) -> Shares:
    """Each address that peers call from has a share of its own, which grows with them; all others have one together."""
    peers = Peers(options.peers)
    half = max(1, options.max_associations // 2)

    def most_of(owner: str) -> int:
        titles = peers.titles_at(owner)
        wanted = half if titles is None else options.max_associations_per_peer * max(1, titles)
        return CONNECTIONS_FOR_EACH * min(wanted, half)

    return Shares(
        CONNECTIONS_FOR_EACH * options.max_associations,
        lambda host: host if peers.titles_at(host) != 0 else "",
        most_of,
    )


def _serve_share(settings: Settings, folder: DataDir, doors: Doors, places: Places, channel: Channel) -> None:
    """One process's part of `serve`."""
    database = open_database(settings, folder)
    reception = Reception(settings, folder, database, doors, places, channel.say_ended)
    while (given := channel.next_connection()) is not None:
        reception.take(*given)
    reception.stop()
    database.close()


def _open(doorway: Doorway, settings: Settings) -> Doors:
    """Listen where the options say; the certificates are read first, so that they stop the start and not a peer."""
    certificates = Certificates(settings.tls) if settings.tls.port else None
    host, plain = doorway.open(settings.dicom.bind_host, settings.dicom.port)
    secured = None
    if certificates is not None:
        _, secured = doorway.open(settings.dicom.bind_host, settings.tls.port, certificates)
    return Doors(host, plain, secured)


def _sweep(folder: DataDir) -> None:
    swept = Spool(folder, 0).sweep()
    if swept:
        logger.info("Removed %d files that were half received; they were never acknowledged.", swept)


def main() -> int:
    """Run the listener of the system in LUNGPRINT_DATA_DIR; returns the exit code."""
    keep_values_private()
    return run(serve)


if __name__ == "__main__":
    sys.exit(main())
