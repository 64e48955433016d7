"""Calling a peer: an association with a node that the options name, over TLS where they say so."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from config.errors import ConfigurationError, LungprintError
from config.settings import Peer, Settings, Tls
from dicom_node.services import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION
from dicom_node.tls import Certificates, names_of_peer

PDU_BYTES = 128 * 1024
CONNECT_SECONDS = 10.0
NEGOTIATE_SECONDS = 15.0

# A-ASSOCIATE-RJ, source and reason (PS3.8 9.3.4).
_REASONS = {
    (1, 1): "it gives no reason",
    (1, 2): "it does not support the application context",
    (1, 3): "it does not know this node's AE title",
    (1, 7): "its own AE title is another one",
    (2, 1): "it gives no reason",
    (2, 2): "it does not support the protocol version",
    (3, 1): "it has too much to do now",
    (3, 2): "it has too many associations now",
}


class PeerNotCalled(LungprintError):
    """No association with a peer could be opened; the text names the peer by its AE title and says why."""


def callable_peer(settings: Settings, ae_title: str) -> Peer:
    """The peer with an AE title and a port.

    Raises:
        PeerNotCalled: there is none in `dicom.peers`.
    """
    for peer in settings.dicom.peers:
        if peer.ae_title == ae_title and peer.port:
            return peer
    raise PeerNotCalled(f"No peer {ae_title} with a port is listed in dicom.peers, so it cannot be called.")


@contextmanager
def calling(
    settings: Settings,
    ae_title: str,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[EventHandlerType] = (),
    answer_seconds: float = 60.0,
) -> Iterator[Association]:
    """An established association with a peer of `dicom.peers`, released when the block ends and aborted if it raises.

    Args:
        contexts: what is proposed, at most 128.
        roles: role selection items (PS3.7 D.3.3.4), where this node is not the SCU alone.
        handlers: for what the peer may ask in turn.
        answer_seconds: longest wait for each answer of the peer.

    Raises:
        PeerNotCalled: the peer is not listed, cannot be reached, shows another certificate, or rejects.

    Example:
        with calling(settings, "PACS1", [build_context(ComprehensiveSRStorage)]) as association:
            status = association.send_c_store(report)
    """
    peer = callable_peer(settings, ae_title)
    entity = AE(ae_title=settings.dicom.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    entity.connection_timeout = CONNECT_SECONDS
    entity.acse_timeout = NEGOTIATE_SECONDS
    entity.dimse_timeout = answer_seconds
    entity.network_timeout = answer_seconds
    connected: list[Event] = []
    try:
        association = entity.associate(
            _resolve(peer),
            peer.port,
            contexts=list(contexts),
            ae_title=peer.ae_title,
            max_pdu=PDU_BYTES,
            ext_neg=list(roles),
            evt_handlers=[*handlers, (evt.EVT_CONN_OPEN, connected.append)],
            tls_args=(_certificates(settings.tls).calling(), peer.called_host) if peer.tls else None,
        )
    except ConfigurationError as error:
        raise PeerNotCalled(str(error)) from error
    try:
        _check(association, peer, bool(connected))
        yield association
    except BaseException:
        if association.is_established:
            association.abort()
        raise
    if association.is_established:
        association.release()


def _resolve(peer: Peer) -> str:
    """The peer's IP address; pynetdicom takes no host names of IPv6."""
    try:
        found = socket.getaddrinfo(peer.called_host, peer.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PeerNotCalled(f"The host {peer.called_host} of the peer {peer.ae_title} is not known.") from error
    return str(found[0][4][0])


def _check(association: Association, peer: Peer, connected: bool) -> None:
    if not association.is_established:
        why = _why(association, connected) + (" (do the certificates fit?)" if peer.tls else "")
        raise PeerNotCalled(f"The peer {peer.ae_title} at {peer.called_host}:{peer.port} {why}.")
    if not peer.tls or not peer.certificate_name:
        return
    connection = association.dul.socket.socket if association.dul.socket is not None else None
    if peer.certificate_name.lower() not in (names_of_peer(connection) or ()):
        raise PeerNotCalled(
            f"The certificate of the peer {peer.ae_title} does not carry the name {peer.certificate_name}."
        )


def _why(association: Association, connected: bool) -> str:
    answer = association.acceptor.primitive
    if association.is_rejected and isinstance(answer, A_ASSOCIATE):
        reason = _REASONS.get((answer.result_source or 0, answer.diagnostic or 0), "for a reason that is not known")
        return f"rejects associations: {reason}"
    if association.rejected_contexts and not association.accepted_contexts:
        return "offers none of the services that are asked of it"
    return "ended the association before it was open" if connected else "cannot be reached"


@lru_cache(maxsize=4)
def _certificates(options: Tls) -> Certificates:
    return Certificates(options)
