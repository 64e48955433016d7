"""The listener for HL7 v2 by MLLP: `python -m dicom_node.hl7_listener` serves the system in LUNGPRINT_DATA_DIR."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import ssl
import sys
from typing import Any

import hl7
from hl7.mllp import HL7StreamReader, HL7StreamWriter, InvalidBlockError, start_hl7_server
from sqlalchemy.exc import SQLAlchemyError

from archive.database import Database, open_database
from config.errors import ConfigurationError
from config.paths import DataDir
from config.program import run
from config.settings import Settings
from dicom_node.hl7_message import MessageRefused, decoded, parsed, read_adt
from dicom_node.hl7_patients import take
from dicom_node.tls import Certificates

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 1 << 20
MOST_CONNECTIONS = 32
# What is acknowledged when the header of a message cannot be read.
_NO_HEADER = "MSH|^~\\&|||||||ADT^|{control_id}|P|2.5\r"


class Hl7Listener:
    """Takes messages from the peers of one system, one after the other; each is committed, then acknowledged."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._networks = [ipaddress.ip_network(peer, strict=False) for peer in settings.hl7.peers]
        self._connections: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; returns the port.

        Raises:
            ConfigurationError: the port or the certificates cannot be used.
        """
        options = self._settings.hl7
        secure: ssl.SSLContext | None = Certificates(self._settings.tls).accepting() if options.tls else None
        try:
            self._server = await start_hl7_server(
                self._connected, options.bind_host, options.port, limit=LARGEST_MESSAGE, ssl=secure
            )
        except OSError as error:
            raise ConfigurationError(
                f"HL7 messages cannot be taken on {options.bind_host}, port {options.port}: {error.strerror}."
            ) from error
        port: int = self._server.sockets[0].getsockname()[1]
        logger.info("Listening for HL7 messages on %s, port %d", options.bind_host, port)
        return port

    async def stop(self) -> None:
        """Take no more; a message that is being committed is acknowledged first."""
        if self._server is not None:
            self._server.close()
        async with self._one_at_a_time:
            for task in self._connections:
                task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def answer(self, content: bytes, address: str) -> bytes:
        """Apply one message; returns its acknowledgement, which is sent only now that the change is on the disk."""
        try:
            message = parsed(decoded(content))
        except MessageRefused as error:
            logger.warning("an HL7 message from %s was refused: %s", address, error)
            return _acknowledgement(hl7.parse(_NO_HEADER.format(control_id="")), error)
        refused: MessageRefused | None = None
        try:
            adt = read_adt(message)
            with self._database.write() as session:
                news = take(session, adt, content, address, self._settings.hl7.local_authority)
            logger.info("HL7 ADT^%s from %s: %s", adt.event, address, "taken" if news else "known already")
        except MessageRefused as error:
            refused = error
        except SQLAlchemyError:
            refused = MessageRefused("AR", 207, "The archive cannot be written now; send the message again.")
        except Exception:
            logger.exception("an HL7 message from %s could not be applied", address)
            refused = MessageRefused("AR", 207, "The message could not be applied; the log says why.")
        if refused is not None:
            logger.warning("an HL7 message from %s was refused: %s", address, refused)
        return _acknowledgement(message, refused)

    async def _connected(self, reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        address = str(writer.get_extra_info("peername")[0])
        try:
            if not self._may_send(address):
                logger.warning("a connection from %s was refused: it is not listed in hl7.peers", address)
            elif len(self._connections) >= MOST_CONNECTIONS:
                logger.warning("a connection from %s was refused: there are too many", address)
            else:
                self._connections.add(task)
                await self._serve(reader, writer, address)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            logger.debug("the connection from %s ended (%s)", address, type(error).__name__)
        except (InvalidBlockError, ValueError):
            logger.warning("the connection from %s was closed: it sent no MLLP block, or too large a one", address)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: HL7StreamReader, writer: HL7StreamWriter, address: str) -> None:
        while True:
            content: bytes = await asyncio.wait_for(reader.readblock(), self._settings.hl7.idle_seconds)
            async with self._one_at_a_time:
                answer = await asyncio.to_thread(self.answer, content, address)
                writer.writeblock(answer)
                await asyncio.wait_for(writer.drain(), self._settings.hl7.idle_seconds)

    def _may_send(self, address: str) -> bool:
        caller = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
            caller = caller.ipv4_mapped
        return caller.is_loopback if not self._networks else any(caller in network for network in self._networks)


def _acknowledgement(message: hl7.Message, refused: MessageRefused | None) -> bytes:
    """An ACK (HL7 v2.5.1, 2.14.1) in original mode: MSA-1 is AA, AE or AR, and an ERR segment says what is wrong."""
    code = "AA" if refused is None else refused.code
    try:
        answer: Any = message.create_ack(code)
    except (TypeError, IndexError):
        # MSH-9 has no trigger event.
        control_id = str(message.segment("MSH")[10])
        answer = hl7.parse(_NO_HEADER.format(control_id=control_id)).create_ack(code)
    text = str(answer).rstrip("\r")
    if refused is not None:
        said = message.escape(str(refused))
        text += f"|{said}\rERR|||{refused.error}^^HL70357|E||||{said}"
    return f"{text}\r".encode()


async def serve(settings: Settings, database: Database) -> None:
    """Run until SIGTERM or SIGINT."""
    listener = Hl7Listener(settings, database)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await listener.start()
    await stopped.wait()
    await listener.stop()


def _serve(settings: Settings, folder: DataDir) -> None:
    # The parser's own log quotes what it cannot read.
    logging.getLogger("hl7").setLevel(logging.CRITICAL + 1)
    database = open_database(settings, folder)
    try:
        asyncio.run(serve(settings, database))
    finally:
        database.close()


def main() -> int:
    """Run the listener of the system in LUNGPRINT_DATA_DIR; returns the exit code."""
    return run(_serve)


if __name__ == "__main__":
    sys.exit(main())
