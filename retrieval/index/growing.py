"""Arrays that grow with the gallery."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array", bound=NDArray[Any])


def grown(array: Array, rows: int, axis: int = 0, fill: int | None = None) -> Array:
    """An array with room for so many rows at least: this one, or one with twice the room, so that growing is rare.

    Args:
        axis: that grows.
        fill: what the new room holds. By default it is not written to, and so takes no memory until it is used.
    """
    now = array.shape[axis]
    if rows <= now:
        return array
    shape = list(array.shape)
    shape[axis] = max(rows, 2 * now)
    wider: Array = np.empty(shape, array.dtype)  # type: ignore[assignment]
    old, new = [slice(None)] * array.ndim, [slice(None)] * array.ndim
    old[axis], new[axis] = slice(now), slice(now, None)
    wider[tuple(old)] = array
    if fill is not None:
        wider[tuple(new)] = fill
    return wider
