"""Names that stand for patients and images, and lead back to nobody without a key that is thrown away."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cli.outcome import InputNotUsable

_KEY_BYTES = 32
_NAME_DIGITS = 16


@dataclass(frozen=True, repr=False)
class Pseudonyms:
    """Replaces identifiers by their keyed hash (HMAC-SHA-256), 16 hexadecimal digits of it.

    A hash without a key would not do: all Patient IDs of a hospital can be hashed in a second and compared.
    """

    key: bytes

    @classmethod
    def fresh(cls) -> Pseudonyms:
        """With a key that nobody else has and that ends with the process."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def kept(cls, path: Path) -> Pseudonyms:
        """With the key in a file, which is made, readable by its owner alone, if it does not exist.

        Raises:
            InputNotUsable: the file cannot be read or made, or holds no such key.
        """
        try:
            if not path.exists():
                made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(made, "w", encoding="ascii") as file:
                    file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            key = bytes.fromhex(path.read_text(encoding="ascii"))
        except OSError as error:
            raise InputNotUsable(f"The key {path} cannot be read or made: {error.strerror}.") from error
        except ValueError as error:
            raise InputNotUsable(f"{path} is no key; name a file that does not exist to make one.") from error
        if len(key) != _KEY_BYTES:
            raise InputNotUsable(f"{path} is no key of {_KEY_BYTES} bytes; name a file that does not exist.")
        return cls(key)

    def of(self, *identifiers: str) -> str:
        """The name that stands for some identifiers together, for example Patient ID and issuer."""
        message = "\0".join(identifiers).encode()
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:_NAME_DIGITS]
