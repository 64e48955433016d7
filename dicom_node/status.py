"""The answers that this node gives: to a C-STORE request (PS3.4 B.2.3, PS3.7 C), and about a commitment."""

from __future__ import annotations

from enum import IntEnum


class StoreStatus(IntEnum):
    """Status of one C-STORE response."""

    SUCCESS = 0x0000
    CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    MISMATCH = 0xA900
    UNREADABLE = 0xC210


class CommitStatus(IntEnum):
    """Status of one N-ACTION response of storage commitment (PS3.4 J.3.2, PS3.7 10.1.4)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    INVALID_ARGUMENT = 0x0115
    NO_SUCH_ACTION = 0x0123


class CommitFailure(IntEnum):
    """Failure Reason (0008,1197) of one image in an N-EVENT-REPORT of storage commitment (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
