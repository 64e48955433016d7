"""What can be wrong with a request for a synthetic chest."""

from __future__ import annotations

from retrieval.errors import RetrievalError


class PhantomValueError(RetrievalError, ValueError):
    """A person, an exam or an image size lies outside what the phantom can draw."""
