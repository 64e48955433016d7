"""Which split a patient belongs to: decided by the patient's name and a seed alone, so that no patient ever moves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from retrieval.data.manifest import Split
from retrieval.errors import ConfigInvalid


@dataclass(frozen=True)
class Splits:
    """Deals patients to the splits.

    Attributes:
        train, val, test: shares of the patients, none negative, together more than 0; they are scaled to sum to 1.
        seed: another seed deals the same patients otherwise.

    Example:
        >>> Splits.parse("70/10/20").of("nih:13")
        <Split.TRAIN: 'train'>
    """

    train: float = 70.0
    val: float = 10.0
    test: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if not (min(shares) >= 0 and 0 < sum(shares) < float("inf")):
            raise ConfigInvalid("The shares of the splits must be numbers from 0, not all 0, as in 70/10/20.")

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Splits:
        """Read shares written as TRAIN/VAL/TEST.

        Raises:
            ConfigInvalid: not three numbers from 0.
        """
        try:
            train, val, test = (float(share) for share in text.split("/"))
        except ValueError as error:
            raise ConfigInvalid(f"Write the shares as TRAIN/VAL/TEST, for example 70/10/20, not {text!r}.") from error
        return cls(train, val, test, seed)

    def of(self, patient: str) -> Split:
        """The split of a patient; independent of all other patients, so that one who is added moves nobody."""
        digest = hashlib.sha256(f"{self.seed}\0{patient}".encode(errors="surrogatepass")).digest()
        position = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
        taken = self.train + self.val
        if position < self.train / (taken + self.test):
            return Split.TRAIN
        return Split.VAL if position < taken / (taken + self.test) else Split.TEST
