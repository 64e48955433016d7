"""The answers that this node gives to a C-STORE request (PS3.4 B.2.3, PS3.7 C)."""

from __future__ import annotations

from enum import IntEnum


class StoreStatus(IntEnum):
    """Status of one C-STORE response."""

    SUCCESS = 0x0000
    CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    MISMATCH = 0xA900
    UNREADABLE = 0xC210
