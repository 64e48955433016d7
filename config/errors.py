"""The root of every error that Lungprint raises on purpose."""

from __future__ import annotations


class LungprintError(Exception):
    """An expected failure; its text is one plain sentence, safe to show, that says what to do."""


class ConfigurationError(LungprintError):
    """An option, an environment variable or the data folder is not usable."""
