"""The gallery of a system in memory, for an audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from archive.whole_gallery import doubted, extent, whole_gallery
from cli.outcome import InputNotUsable
from retrieval.audit.gallery import AuditGallery, Rows
from workers.index_owner import Network


@dataclass(frozen=True)
class Scope:
    """What an audit looks at: so many images with codes of one network, up to the id `newest`."""

    model_id: str
    images: int
    newest: int


def scope_of(session: Session, network: Network, newest: int | None = None) -> Scope:
    """Everything in the gallery, or everything up to an id."""
    images, last = extent(session, network.model_id, newest)
    return Scope(network.model_id, images, last if newest is None else newest)


def load(session: Session, network: Network, scope: Scope, advance: Callable[[int], None]) -> AuditGallery:
    """Read it; embeddings are put where they stay, so that there is one copy of them.

    Args:
        advance: told of how many images have been read since.

    Raises:
        InputNotUsable: images were added or removed below `scope.newest` meanwhile.
    """
    embedding = np.empty((scope.images, network.dim), np.float32)
    code = np.empty((scope.images, network.bits // 8), np.uint8)
    instance, person, study, exposure = np.empty((4, scope.images), np.int64)
    count = 0
    for page in whole_gallery(session, scope.model_id, scope.newest):
        stop = count + len(page)
        if stop > scope.images:
            break
        for whole, part in (
            (embedding, page.embedding),
            (code, page.code),
            (instance, page.instance),
            (person, page.person),
            (study, page.study),
            (exposure, page.exposure),
        ):
            whole[count:stop] = part
        count = stop
        advance(len(page))
    if count != scope.images:
        raise InputNotUsable("The archive has changed while it was read; start the audit again.")
    trusted = ~np.isin(instance, np.fromiter(doubted(session), np.int64)) & ~_filed_again(exposure, person)
    return AuditGallery(instance, person, study, exposure, trusted, embedding, code)


def _filed_again(exposure: Rows, person: Rows) -> NDArray[np.bool_]:
    """Images whose pixels were there before under another person."""
    _, first, which = np.unique(exposure, return_index=True, return_inverse=True)
    again: NDArray[np.bool_] = person != person[first[which]]
    return again
