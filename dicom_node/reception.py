"""One process's share of the listener: the associations whose connections it is given."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType

from archive.database import Database
from config.broker import celery_app
from config.paths import DataDir
from config.settings import Right, Settings
from dicom_node import doorway
from dicom_node.announcer import Announcer
from dicom_node.association import ImageServer, is_answering, is_connected, offer
from dicom_node.commitment_scp import CommitmentProvider
from dicom_node.connection import ImageSocket
from dicom_node.peers import Caller, Peers, Rejection
from dicom_node.places import Places
from dicom_node.services import (
    IMPLEMENTATION_UID,
    IMPLEMENTATION_VERSION,
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    VERIFICATION,
    may_ask,
)
from dicom_node.spool import MIB, IncomingFile, Spool
from dicom_node.status import StoreStatus
from dicom_node.storage import Storage
from dicom_node.tls import Certificates
from dicom_node.way_out import TOO_MANY

logger = logging.getLogger(__name__)

# At the end: for answers that are being worked out, and for announcements that wait.
FINISH_SECONDS = 10.0
ANNOUNCE_SECONDS = 1.0

# A-ASSOCIATE-RJ (PS3.8 9.3.4): transient, by the service provider (presentation related), temporary congestion.
_CONGESTED = (0x02, 0x03, 0x01)


@dataclass(frozen=True)
class Doors:
    """The address that is listened on and its ports: one without encryption, and one for TLS if there is one."""

    host: str
    plain: int
    secured: int | None


class Reception:
    """Answers C-ECHO, C-STORE and requests for storage commitment on the connections it is given, for known peers.

    Args:
        doors: the ports that connections come from.
        places: shared by all processes of the listener.
        on_end: called with the address of each connection that has ended, in any thread.

    Raises:
        ConfigurationError: the TLS certificates cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        folder: DataDir,
        database: Database,
        doors: Doors,
        places: Places,
        on_end: Callable[[str], None],
    ) -> None:
        dicom = settings.dicom
        # Has pynetdicom accept every storage class, and treat every C-STORE alike.
        _config.UNRESTRICTED_STORAGE_SERVICE = dicom.accept_any_storage
        self._peers = Peers(dicom.peers)
        self._places = places
        self._taken: dict[Association, int] = {}
        self._rights: WeakKeyDictionary[Association, Collection[Right]] = WeakKeyDictionary()
        self._on_end = on_end
        self._announcer = Announcer(celery_app(settings, folder))
        self._storage = Storage(settings, folder, database, self._announcer.announce)
        self._commitments = CommitmentProvider(folder, database)
        self._spool = Spool(folder, dicom.min_free_mib * MIB)
        self._low_space = dicom.low_space_mib * MIB
        self._ae = _application_entity(settings)
        self._servers = {doors.plain: self._server(doors.host, doors.plain, None)}
        if doors.secured is not None:
            self._servers[doors.secured] = self._server(doors.host, doors.secured, Certificates(settings.tls))
        self._announcer.start()
        self._commitments.start()

    def take(self, connection: socket.socket, caller: doorway.Caller) -> None:
        """Serve a connection whose peer has begun to speak."""
        server = self._servers[caller.door]
        server.service_actions()
        server.process_request(connection, (caller.host, caller.port))

    def _server(self, host: str, port: int, certificates: Certificates | None) -> ImageServer:
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._check),
            (evt.EVT_ACCEPTED, _log_accepted),
            (evt.EVT_REJECTED, _log_rejected),
            (evt.EVT_RELEASED, self._give_back),
            (evt.EVT_ABORTED, self._give_back),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._commitments.handle_action),
        ]
        server = ImageServer(self._ae, (host, port), self._spool, handlers, certificates, self._ended)
        self._ae._servers.append(server)
        return server

    def stop(self) -> None:
        """Answer what is complete, abort the rest; what was not answered will be sent again."""
        until = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < until and any(map(is_answering, self._ae.active_associations)):
            time.sleep(0.01)
        for association in self._ae.active_associations:
            association.abort()
        self._commitments.stop()
        self._announcer.stop(ANNOUNCE_SECONDS)

    def _check(self, event: Event) -> None:
        title, _, address = _who(event)
        connection = event.assoc.dul.socket
        names = connection.peer_names if isinstance(connection, ImageSocket) else None
        rights = self._peers.admit(Caller(title, address, names))
        if isinstance(rights, Rejection):
            _reject(event, rights.codes, rights.words)
            return
        if self._spool.free_bytes() < self._low_space:
            _reject(event, _CONGESTED, "less free space than dicom.low_space_mib")
            return
        place = self._places.take(f"{title} {address}")
        if place is None:
            _reject(event, TOO_MANY, "too many associations, of this peer or in all")
            return
        self._rights[event.assoc] = rights
        self._taken[event.assoc] = place
        if not is_connected(event.assoc):
            # It ended while it was looked at, and nobody will say so again.
            self._free(event.assoc)
        offer(event.assoc, [one for one in self._ae.supported_contexts if may_ask(one.abstract_syntax, rights)])

    def _store(self, event: Event) -> int:
        """As `Storage.handle_store`, and 0x0124 (not authorized) for a peer that may not store.

        Without `dicom.accept_any_storage` such a peer finds no presentation context for it.
        """
        if Right.STORE in self._rights.get(event.assoc, ()):
            return self._storage.handle_store(event)
        logger.warning("Refused an image from %r, which may not store.", str(event.assoc.requestor.ae_title).strip())
        request = event.request
        if isinstance(request, C_STORE) and isinstance(request.DataSet, IncomingFile):
            request.DataSet.close()
        return int(StoreStatus.NOT_AUTHORIZED)

    def _give_back(self, event: Event) -> None:
        self._free(event.assoc)

    def _free(self, association: Association) -> None:
        place = self._taken.pop(association, None)
        if place is not None:
            self._places.give_back(place)

    def _ended(self, association: Association | None, host: str) -> None:
        if association is not None:
            self._free(association)
        self._on_end(host)


def _application_entity(settings: Settings) -> AE:
    dicom = settings.dicom
    ae = AE(ae_title=dicom.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.require_called_aet = True
    ae.maximum_pdu_size = dicom.max_pdu
    # `Places` counts, over all processes; pynetdicom counts connections as well that ask for nothing.
    ae.maximum_associations = 1 << 30
    ae.network_timeout = dicom.idle_seconds
    ae.acse_timeout = min(doorway.REQUEST_SECONDS, dicom.idle_seconds)
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(STORAGE_COMMITMENT)
    for storage_class in STORAGE_CLASSES:
        ae.add_supported_context(storage_class, list(TRANSFER_SYNTAXES))
    return ae


def _reject(event: Event, answer: tuple[int, int, int], why: str) -> None:
    caller, _, address = _who(event)
    logger.warning("Rejected an association of %r at %s: %s.", caller, address, why)
    event.assoc.acse.send_reject(*answer)
    event.assoc.kill()


def _log_accepted(event: Event) -> None:
    caller, _, address = _who(event)
    logger.info("Association with %r at %s.", caller, address)


def _log_rejected(event: Event) -> None:
    caller, called, address = _who(event)
    logger.warning(
        "Rejected an association of %r at %s, which called %r: wrong called AE title.", caller, address, called
    )


def _who(event: Event) -> tuple[str, str, str]:
    """Calling AE title, called AE title and the caller's address of an association request."""
    requestor = event.assoc.requestor
    request = requestor.primitive
    if request is None:
        return "", "", str(requestor.address)
    return str(request.calling_ae_title).strip(), str(request.called_ae_title).strip(), str(requestor.address)
