"""Tables of the conformance statement, made from the code: `python -m dicom_node.conformance docs/conformance.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from pydicom.uid import UID

from config.errors import LungprintError
from dicom_node.peers import Rejection
from dicom_node.services import STORAGE_CLASSES, STORAGE_COMMITMENT, TRANSFER_SYNTAXES, VERIFICATION
from dicom_node.status import Code, CommitFailure, CommitStatus, StoreStatus

_SOURCES = {1: "service user", 3: "service provider (presentation)"}
_REASONS = {(1, 1): "no reason given", (1, 3): "calling AE title not recognised"}


class DocumentUnusable(LungprintError):
    """A document lacks the marks between which a table stands."""


def tables() -> dict[str, str]:
    """Each generated table by its name, in Markdown."""
    return {
        "accepted SOP classes": _table(
            ("SOP class", "UID", "role"),
            ((UID(uid).name, uid, "SCP") for uid in (VERIFICATION, *STORAGE_CLASSES, STORAGE_COMMITMENT)),
        ),
        "transfer syntaxes": _table(("transfer syntax", "UID"), ((uid.name, uid) for uid in TRANSFER_SYNTAXES)),
        "rejections by peer": _table(
            ("result", "source", "reason", "when"),
            (
                ("1 permanent", f"{source} {_SOURCES[source]}", f"{reason} {_REASONS[source, reason]}", rejection.words)
                for rejection in Rejection
                for _, source, reason in (rejection.codes,)
            ),
        ),
        "C-STORE statuses": _codes(StoreStatus, "status"),
        "N-ACTION statuses": _codes(CommitStatus, "status"),
        "commitment failure reasons": _codes(CommitFailure, "failure reason"),
    }


def updated(document: str) -> str:
    """A document with each table renewed between `<!-- NAME: made by ... -->` and `<!-- end -->`.

    Raises:
        DocumentUnusable: a table has no place in it.
    """
    for name, table in tables().items():
        place = re.compile(rf"(<!-- {re.escape(name)}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
        found = place.findall(document)
        if len(found) != 1:
            raise DocumentUnusable(f"The document has {len(found)} places for the table {name!r}; it needs one.")
        document = place.sub(lambda _: table.join(found[0]), document)  # noqa: B023
    return document


def _codes(kind: type[Code], head: str) -> str:
    return _table((head, "meaning", "when"), ((f"`0x{code.value:04X}`", code.meaning, code.when) for code in kind))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    first = [f"| {' | '.join(titles)} |\n", "|---" * len(titles) + "|\n"]
    return "".join([*first, *(f"| {' | '.join(row)} |\n" for row in rows)])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
