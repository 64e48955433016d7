"""Shipped weight files, each a safetensors file with a TOML card of the same name beside it."""

from retrieval.weights.card import DEFAULT_NAME, Card, find_weights, read_card
from retrieval.weights.stored import Loaded, load_weights, store_weights

__all__ = ["DEFAULT_NAME", "Card", "Loaded", "find_weights", "load_weights", "read_card", "store_weights"]
