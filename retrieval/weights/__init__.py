"""Shipped weight files, each a safetensors file with a TOML card of the same name beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrieval.weights.card import DEFAULT_NAME, Card, find_weights, model_id_of, read_card

if TYPE_CHECKING:
    from retrieval.weights.stored import Loaded, load_weights, store_atlas, store_weights, stored_atlas, stored_trunk

__all__ = [
    "DEFAULT_NAME",
    "Card",
    "Loaded",
    "find_weights",
    "load_weights",
    "model_id_of",
    "read_card",
    "store_atlas",
    "store_weights",
    "stored_atlas",
    "stored_trunk",
]


def __getattr__(name: str) -> Any:
    """Import torch only for those who load tensors: processes that just match need none of its 200 MiB."""
    if name in ("Loaded", "load_weights", "store_atlas", "store_weights", "stored_atlas", "stored_trunk"):
        from retrieval.weights import stored

        return getattr(stored, name)
    raise AttributeError(name)
