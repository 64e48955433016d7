"""pynetdicom's association, with a receive path of our own: less copying, no polling, no large image kept in memory.

pynetdicom 3.0 reads in pieces of 4 KiB, copies each PDU six times, sleeps up to a millisecond between two PDUs, trusts
the length that a PDU claims, ends the association when a file cannot be written, and hands each request to another
thread, and its response back. `connection`, `upper_layer`, `messages` and `quick_encoding` replace those steps and
nothing else; negotiation, state machine and the other services are pynetdicom's own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_node.connection import ImageSocket
from dicom_node.messages import ImageDimse
from dicom_node.spool import Spool
from dicom_node.tls import Certificates, why
from dicom_node.upper_layer import ImageDul

logger = logging.getLogger(__name__)


class ImageRequestHandler(RequestHandler):
    """Makes the association for a connection out of the parts above."""

    server: ImageServer

    def handle(self) -> None:
        """Secure the connection if this is a TLS port, in this connection's own thread, and begin the association."""
        if self.server.certificates is not None:
            # Whoever does not finish the handshake is left alone by then.
            self.request.settimeout(self.ae.acse_timeout)
            try:
                self.request = self.server.certificates.accepting().wrap_socket(self.request, server_side=True)
            except OSError as error:
                logger.warning("A connection from %s could not be secured: %s.", self.client_address[0], why(error))
                self.server.shutdown_request(self.request)
                self.server.on_end(None, self.client_address[0])
                return
        super().handle()

    def _create_association(self) -> Association:
        association = super()._create_association()
        dimse = ImageDimse(association, self.server.spool)
        association.dimse = dimse
        association.dul = ImageDul(association, dimse, partial(self.server.on_end, association, self.client_address[0]))
        # The timers are the upper layer's: setting a time-out again hands it to the new one.
        association.acse_timeout = self.ae.acse_timeout
        association.network_timeout = self.ae.network_timeout
        association.set_socket(ImageSocket(association, self.request, self.ae.network_timeout))
        return association


class ImageServer(ThreadedAssociationServer):
    """Makes an association of each connection it is given with `process_request`; listens on no port itself.

    Args:
        address: where the connections were accepted.
        certificates: of a port for TLS; None = the port is not encrypted.
        on_end: called once for each connection that has ended, with its association, if any, and the address that it
            came from; in the association's thread, or in that of `process_request` if there was never one.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        spool: Spool,
        handlers: list[EventHandlerType],
        certificates: Certificates | None,
        on_end: Callable[[Association | None, str], None],
    ) -> None:
        self.spool = spool
        self.certificates = certificates
        self.on_end = on_end
        super().__init__(
            ae,
            address,
            ae.ae_title,
            # What is offered depends on the peer and its request, see `offer`.
            [],
            evt_handlers=handlers,
            request_handler=ImageRequestHandler,
        )
        self.server_address = address
        if self.socket is not None:
            self.socket.close()

    # Those of TLS handshakes; a peer that never ends one must not keep the process from ending.
    daemon_threads = True
    block_on_close = False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin the association; over TLS in a thread of its own, since the handshake waits for the peer."""
        if self.certificates is None:
            self.process_request_thread(request, client_address)
        else:
            super().process_request(request, client_address)

    def server_bind(self) -> None:
        """Nothing to bind."""

    def server_activate(self) -> None:
        """Nothing to listen on."""

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:
        """A connection that never became an association has ended; it is closed by the caller."""
        logger.error("A connection from %s could not be served.", client_address[0], exc_info=True)
        self.on_end(None, client_address[0])


def is_answering(association: Association) -> bool:
    """Whether a complete request of this association waits for its answer."""
    return isinstance(association.dimse, ImageDimse) and association.dimse.answering


def is_connected(association: Association) -> bool:
    """Whether the end of this association's connection is still to come."""
    return isinstance(association.dul, ImageDul) and not association.dul.ended


def offer(association: Association, supported: list[PresentationContext]) -> None:
    """Have those presentation contexts accepted, each in the first acceptable transfer syntax of the requestor's list.

    pynetdicom takes the first of ours, which makes a sender that offers an image as it is, or else decompressed,
    decompress it. It also copies all that is supported for each association, proposed or not, which takes as long as
    the rest of the negotiation; here only what is proposed counts. To be called before the negotiation.
    """
    request = association.requestor.primitive
    wishes: dict[UID | None, dict[UID, None]] = {}
    for proposed in request.presentation_context_definition_list if request is not None else []:
        wishes.setdefault(proposed.abstract_syntax, {}).update(dict.fromkeys(proposed.transfer_syntax))
    association.acceptor.supported_contexts = [
        _context(one.abstract_syntax, tuple(filter(set(one.transfer_syntax).__contains__, wishes[one.abstract_syntax])))
        for one in supported
        if one.abstract_syntax is not None and one.abstract_syntax in wishes
    ]


# The negotiation reads them and changes nothing, so associations share them; making one checks each of its UIDs.
@lru_cache(256)
def _context(abstract_syntax: UID, transfer_syntaxes: tuple[UID, ...]) -> PresentationContext:
    return build_context(abstract_syntax, list(transfer_syntaxes))
