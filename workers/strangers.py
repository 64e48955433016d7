"""The strangers of a gallery: images of its persons, by which it is measured how alike two images are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retrieval.normalisation import Strangers, chosen
from workers.rows import GalleryRows


def drawn(rows: GalleryRows, embeddings: Callable[[NDArray[np.int64]], NDArray[np.float32]], dim: int) -> Strangers:
    """One image each of some persons, the same for the same gallery; images without Patient ID are left out.

    Args:
        embeddings: gives those float32 (n, dim) of ids int64 (n,).
    """
    labelled = np.flatnonzero(rows.persons > 0)
    picked = labelled[chosen(rows.persons[labelled], rows.ids[labelled])]
    found = embeddings(rows.ids[picked]) if len(picked) else np.empty((0, dim), np.float32)
    return Strangers(found, rows.persons[picked])
