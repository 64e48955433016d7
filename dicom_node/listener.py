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
from dicom_node.commitment_scp import CommitmentProvider
from dicom_node.connection import ImageSocket
from dicom_node.discretion import keep_values_private
from dicom_node.peers import Caller, Peers, Rejection
from dicom_node.services import (
    IMPLEMENTATION_UID,
    IMPLEMENTATION_VERSION,
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    VERIFICATION,
    may_ask,
)
from dicom_node.spool import Spool
from dicom_node.storage import Storage
from dicom_node.tls import Certificates

logger = logging.getLogger(__name__)

MIB = 1 << 20
# Longest wait for an association request once a connection is open.
REQUEST_SECONDS = 30.0
# At the end: for answers that are being worked out, and for announcements that wait.
FINISH_SECONDS = 10.0
ANNOUNCE_SECONDS = 1.0


class Listener:
    """Accepts associations from known peers and answers C-ECHO, C-STORE and requests for storage commitment.

    The spool's leftovers are swept when it is made, so there is one listener for a data folder.
    """

    def __init__(self, settings: Settings, folder: DataDir, database: Database) -> None:
        self._settings = settings
        self._peers = Peers(settings.dicom.peers)
        self._announcer = Announcer(celery_app(settings, folder))
        self._storage = Storage(settings, folder, database, self._announcer.announce)
        self._commitments = CommitmentProvider(folder, database)
        self._spool = Spool(folder, settings.dicom.min_free_mib * MIB)
        self._ae = _application_entity(settings)
        self._certificates = Certificates(settings.tls) if settings.tls.port else None
        self._servers: list[ImageServer] = []

    @property
    def tls_port(self) -> int | None:
        """The port that is listened on for TLS, if any."""
        return int(self._servers[1].server_address[1]) if len(self._servers) > 1 else None

    def start(self) -> tuple[str, int]:
        """Begin to accept associations; returns the address that is listened on.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        swept = self._spool.sweep()
        if swept:
            logger.info("Removed %d files that were half received; they were never acknowledged.", swept)
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._check_peer),
            (evt.EVT_ACCEPTED, _log_accepted),
            (evt.EVT_REJECTED, _log_rejected),
            (evt.EVT_C_STORE, self._storage.handle_store),
            (evt.EVT_N_ACTION, self._commitments.handle_action),
        ]
        servers = [self._server(self._settings.dicom.port, handlers, None)]
        if self._certificates is not None:
            servers.append(self._server(self._settings.tls.port, handlers, self._certificates))
        self._servers = servers
        self._announcer.start()
        self._commitments.start()
        for server in servers:
            self._ae._servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        host, port = servers[0].server_address[:2]
        return str(host), int(port)

    def _server(self, port: int, handlers: list[EventHandlerType], certificates: Certificates | None) -> ImageServer:
        host = self._settings.dicom.bind_host
        try:
            return ImageServer(self._ae, (host, port), self._spool, handlers, certificates)
        except OSError as error:
            kind = "DICOM" if certificates is None else "TLS"
            raise ConfigurationError(f"The {kind} port {port} on {host} cannot be used: {error.strerror}.") from error

    def stop(self) -> None:
        """Accept nothing more, answer what is complete, abort the rest; what was not answered will be sent again."""
        if not self._servers:
            return
        for server in self._servers:
            server.shutdown()
        until = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < until and any(map(is_answering, self._ae.active_associations)):
            time.sleep(0.01)
        for association in self._ae.active_associations:
            association.abort()
        self._commitments.stop()
        self._announcer.stop(ANNOUNCE_SECONDS)
        self._servers.clear()

    def _check_peer(self, event: Event) -> None:
        title, _, address = _who(event)
        connection = event.assoc.dul.socket
        names = connection.peer_names if isinstance(connection, ImageSocket) else None
        rights = self._peers.admit(Caller(title, address, names))
        if isinstance(rights, Rejection):
            logger.warning("Rejected an association of %r at %s: %s.", title, address, rights.words)
            event.assoc.acse.send_reject(*rights.codes)
            event.assoc.kill()
            return
        offered = event.assoc.acceptor.supported_contexts
        event.assoc.acceptor.supported_contexts = [one for one in offered if may_ask(one.abstract_syntax, rights)]
        prefer_as_proposed(event.assoc)


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
    ae.add_supported_context(STORAGE_COMMITMENT)
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
    secured = "" if listener.tls_port is None else f", and over TLS on port {listener.tls_port}"
    logger.info("Listening as %s on %s:%d%s.", settings.dicom.ae_title, host, port, secured)
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
