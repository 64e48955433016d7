"""Where a system keeps its things: every path below one data folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.errors import ConfigurationError

# Linux allows 107 bytes for the path of a unix socket (unix(7)).
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True)
class DataDir:
    """One system's data folder; two systems never share one."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.root / "archive.sqlite3"

    @property
    def images(self) -> Path:
        """DICOM files exactly as received, named by their digest."""
        return self.root / "images"

    @property
    def incoming(self) -> Path:
        """Files being received; on the same file system as `images`, so that a rename is atomic."""
        return self.root / "incoming"

    @property
    def quarantine(self) -> Path:
        """Files that could not be accepted, kept for the administrator."""
        return self.root / "quarantine"

    @property
    def outgoing(self) -> Path:
        """DICOM objects on their way to the PACS, until it has taken them."""
        return self.root / "outgoing"

    @property
    def audit_messages(self) -> Path:
        """DICOM audit messages, a file for each day."""
        return self.root / "audit-messages"

    @property
    def previews(self) -> Path:
        """JPEG previews for the dashboard; a cache."""
        return self.root / "previews"

    @property
    def index(self) -> Path:
        """Snapshots of the nearest-neighbour index; a cache."""
        return self.root / "index"

    @property
    def audit(self) -> Path:
        """How far an audit of the archive has come; empty when none is under way."""
        return self.root / "audit"

    @property
    def logs(self) -> Path:
        """One log file for each process of the system."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What the running system tells other commands: process ids, ports, locks."""
        return self.root / "run"

    @property
    def redis(self) -> Path:
        """The embedded Redis server's append-only file."""
        return self.root / "redis"

    @property
    def secret_key(self) -> Path:
        """The dashboard's signing key."""
        return self.root / "secret.key"

    @property
    def redis_socket(self) -> Path:
        """The embedded Redis server's socket, in a short private folder when the data folder's path is too long."""
        socket = self.run / "redis.sock"
        if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
            return socket
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lungprint-{os.getuid()}-{digest}" / "redis.sock"

    def create(self) -> None:
        """Make the folders, readable by their owner alone.

        Raises:
            ConfigurationError: a folder cannot be made, or belongs to someone else.
        """
        folders = (
            self.root,
            self.images,
            self.incoming,
            self.quarantine,
            self.outgoing,
            self.audit_messages,
            self.previews,
            self.index,
            self.audit,
            self.logs,
            self.run,
            self.redis,
            self.redis_socket.parent,
        )
        for folder in folders:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                # A folder that was there before may be open to others, and the database in it with it.
                folder.chmod(0o700)
            except OSError as error:
                raise ConfigurationError(f"The folder {folder} cannot be made private: {error.strerror}.") from error
        if self.redis_socket.parent.stat().st_uid != os.getuid():
            raise ConfigurationError(f"The folder {self.redis_socket.parent} belongs to another user; remove it.")


def data_dir(path: str | os.PathLike[str]) -> DataDir:
    """The data folder at `path`, made absolute so that every process means the same."""
    return DataDir(Path(path).expanduser().resolve())
