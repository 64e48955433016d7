"""The DICOM listener, a process of its own: `python -m dicom_node.listener` serves the system in LUNGPRINT_DATA_DIR."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType

from pynetdicom import AE, evt
from pynetdicom.events import Event, EventHandlerType

from archive.database import Database, open_database
from config.broker import celery_app
from config.errors import ConfigurationError, LungprintError
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings
from dicom_node.announcer import Announcer
from dicom_node.association import ImageServer, is_answering, prefer_as_proposed
from dicom_node.discretion import keep_values_private
from dicom_node.peers import Peers
from dicom_node.services import (
    IMPLEMENTATION_UID,
    IMPLEMENTATION_VERSION,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    VERIFICATION,
)
from dicom_node.spool import Spool
from dicom_node.storage import Storage

logger = logging.getLogger(__name__)

MIB = 1 << 20
# Longest wait for an association request once a connection is open.
REQUEST_SECONDS = 30.0
# At the end: for answers that are being worked out, and for announcements that wait.
FINISH_SECONDS = 10.0
ANNOUNCE_SECONDS = 1.0

# A-ASSOCIATE-RJ (PS3.8 9.3.4): permanent, by the service user, calling AE title not recognised.
_UNKNOWN_CALLER = (0x01, 0x01, 0x03)


class Listener:
    """Accepts associations from known peers and answers C-ECHO and C-STORE.

    The spool's leftovers are swept when it is made, so there is one listener for a data folder.
    """

    def __init__(self, settings: Settings, folder: DataDir, database: Database) -> None:
        self._settings = settings
        self._peers = Peers(settings.dicom.peers)
        self._announcer = Announcer(celery_app(settings, folder))
        self._storage = Storage(settings, folder, database, self._announcer.announce)
        self._spool = Spool(folder, settings.dicom.min_free_mib * MIB)
        self._ae = _application_entity(settings)
        self._server: ImageServer | None = None

    def start(self) -> tuple[str, int]:
        """Begin to accept associations; returns the address that is listened on.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        swept = self._spool.sweep()
        if swept:
            logger.info("Removed %d files that were half received; they were never acknowledged.", swept)
        dicom = self._settings.dicom
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._check_peer),
            (evt.EVT_ACCEPTED, _log_accepted),
            (evt.EVT_REJECTED, _log_rejected),
            (evt.EVT_C_STORE, self._storage.handle_store),
        ]
        try:
            server = ImageServer(self._ae, (dicom.bind_host, dicom.port), self._spool, handlers)
        except OSError as error:
            raise ConfigurationError(
                f"The DICOM port {dicom.port} on {dicom.bind_host} cannot be used: {error.strerror}."
            ) from error
        self._server = server
        self._ae._servers.append(server)
        self._announcer.start()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        host, port = server.server_address[:2]
        return str(host), int(port)

    def stop(self) -> None:
        """Accept nothing more, answer what is complete, abort the rest; what was not answered will be sent again."""
        if self._server is None:
            return
        self._server.shutdown()
        until = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < until and any(map(is_answering, self._ae.active_associations)):
            time.sleep(0.01)
        for association in self._ae.active_associations:
            association.abort()
        self._announcer.stop(ANNOUNCE_SECONDS)
        self._server = None

    def _check_peer(self, event: Event) -> None:
        caller, _, address = _who(event)
        if self._peers.permits(caller, address):
            prefer_as_proposed(event.assoc)
            return
        logger.warning("Rejected an association of %r at %s: not a known peer.", caller, address)
        event.assoc.acse.send_reject(*_UNKNOWN_CALLER)
        event.assoc.kill()


def _application_entity(settings: Settings) -> AE:
    dicom = settings.dicom
    ae = AE(ae_title=dicom.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.require_called_aet = True
    ae.maximum_pdu_size = dicom.max_pdu
    ae.maximum_associations = dicom.max_associations
    ae.network_timeout = dicom.idle_seconds
    ae.acse_timeout = min(REQUEST_SECONDS, dicom.idle_seconds)
    ae.add_supported_context(VERIFICATION)
    for storage_class in STORAGE_CLASSES:
        ae.add_supported_context(storage_class, list(TRANSFER_SYNTAXES))
    return ae


def _log_accepted(event: Event) -> None:
    caller, _, address = _who(event)
    logger.info("Association with %r at %s.", caller, address)


def _log_rejected(event: Event) -> None:
    caller, called, address = _who(event)
    logger.warning(
        "Rejected an association of %r at %s, which called %r: wrong called AE title, or too many associations.",
        caller,
        address,
        called,
    )


def _who(event: Event) -> tuple[str, str, str]:
    """Calling AE title, called AE title and the caller's address of an association request."""
    requestor = event.assoc.requestor
    request = requestor.primitive
    if request is None:
        return "", "", str(requestor.address)
    return str(request.calling_ae_title).strip(), str(request.called_ae_title).strip(), str(requestor.address)


def serve(settings: Settings, folder: DataDir) -> None:
    """Listen until SIGTERM or SIGINT.

    Raises:
        LungprintError: the address, the data folder or the database is not usable.
    """
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    folder.create()
    database = open_database(settings, folder)
    database.migrate()
    listener = Listener(settings, folder, database)
    host, port = listener.start()
    logger.info("Listening as %s on %s:%d.", settings.dicom.ae_title, host, port)
    ended.wait()
    logger.info("Stopping.")
    listener.stop()
    database.close()


def main() -> int:
    """Run the listener of the system in LUNGPRINT_DATA_DIR; returns the exit code."""
    root = os.environ.get("LUNGPRINT_DATA_DIR")
    try:
        if not root:
            raise ConfigurationError("LUNGPRINT_DATA_DIR is not set; it names the data folder of the system to serve.")
        folder = data_dir(root)
        settings = load_settings(folder.root)
        logging.basicConfig(level=settings.log.level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        keep_values_private()
        serve(settings, folder)
    except LungprintError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
