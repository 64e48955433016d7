"""HL7 messages about patients, as a hospital information system sends them."""

from __future__ import annotations

from itertools import count

_numbers = count(1)
AUTHORITY = "HOSP"


def header(event: str, control_id: str = "", charset: str = "UNICODE UTF-8", **fields: str) -> str:
    """An MSH segment."""
    given = {"kind": f"ADT^{event}^ADT_{event}", "processing": "P", "version": "2.5.1"} | fields
    return (
        f"MSH|^~\\&|HIS|MAIN|LUNGPRINT|RAD|20240229120000||{given['kind']}|{control_id or f'MSG{next(_numbers)}'}"
        f"|{given['processing']}|{given['version']}||||||{charset}"
    )


def identifier(number: str, authority: str = AUTHORITY, kind: str = "MR") -> str:
    """A CX."""
    return f"{number}^^^{authority}^{kind}"


def merge(prior: str, surviving: str, event: str = "A40", authority: str = AUTHORITY, control_id: str = "") -> bytes:
    """A40 (or A47): one Patient ID becomes another."""
    segments = [
        header(event, control_id),
        f"EVN|{event}|20240229120000",
        f"PID|||{identifier(surviving, authority)}||Doe^Jane||19700131|F",
        f"MRG|{identifier(prior, authority)}",
    ]
    return ("\r".join(segments) + "\r").encode()


def update(number: str, name: str, birth: str = "19700131", sex: str = "F", charset: str = "UNICODE UTF-8") -> str:
    """A08: what is known of a patient."""
    return f"{header('A08', charset=charset)}\rEVN|A08|2024\rPID|||{identifier(number)}||{name}||{birth}|{sex}\r"
