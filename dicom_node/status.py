"""The answers that this node gives, each with its meaning: the tables of docs/conformance.md are made from here."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """A status or reason: a number, what the standard calls it, and when this node gives it."""

    meaning: str
    when: str

    def __new__(cls, number: int, meaning: str = "", when: str = "") -> Code:
        """Make a member; called with the number alone, find it."""
        made = int.__new__(cls, number)
        made._value_ = number
        made.meaning, made.when = meaning, when
        return made


class StoreStatus(Code):
    """Status of one C-STORE response (PS3.4 B.2.3, PS3.7 C)."""

    SUCCESS = (
        0x0000,
        "Success",
        "the file is on the disk and its row committed; also for a file that was there already, byte for byte",
    )
    CLASS_NOT_SUPPORTED = 0x0122, "SOP class not supported", "in a backfill alone: negotiation leaves such classes out"
    NOT_AUTHORIZED = 0x0124, "Not authorized", "the peer is not listed with the right `store`"
    OUT_OF_RESOURCES = (
        0xA700,
        "Out of resources",
        "no space, or the database cannot be written; nothing was kept, sending again is right",
    )
    MISMATCH = (
        0xA900,
        "Data set does not match SOP class",
        "class or instance UID of the request and the data set differ; kept in the quarantine",
    )
    UNREADABLE = (
        0xC210,
        "Cannot understand",
        "not readable as DICOM, or without the identifiers that an image needs; kept in the quarantine",
    )
    FAILED = 0xC211, "Unable to process", "an error of this node, which its log names; sending again may help"


class CommitStatus(Code):
    """Status of one N-ACTION response of storage commitment (PS3.4 J.3.2, PS3.7 10.1.4)."""

    SUCCESS = 0x0000, "Success", "the request is in the database; its report will come"
    PROCESSING_FAILURE = 0x0110, "Processing failure", "the database cannot be written; asking again is right"
    NO_SUCH_INSTANCE = 0x0112, "No such SOP instance", "another instance than 1.2.840.10008.1.20.1.1"
    INVALID_ARGUMENT = 0x0115, "Invalid argument value", "no valid Transaction UID, or no images with valid UIDs"
    NO_SUCH_ACTION = 0x0123, "No such action", "another action type than 1"


class CommitFailure(Code):
    """Failure Reason (0008,1197) of one image in an N-EVENT-REPORT of storage commitment (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110, "Processing failure", "the file is gone, or no longer what was acknowledged"
    NO_SUCH_INSTANCE = 0x0112, "No such object instance", "no such image was acknowledged"
    CLASS_INSTANCE_CONFLICT = 0x0119, "Class-instance conflict", "the image is here under another SOP class"
    CLASS_NOT_SUPPORTED = 0x0122, "Referenced SOP class not supported", "no image, and not of a class listed above"
    DUPLICATE_TRANSACTION = (
        0x0131,
        "Duplicate transaction UID",
        "the peer has used the Transaction UID for another list of images",
    )
