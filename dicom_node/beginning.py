"""The beginning of a file that is kept in memory, and knows when more than that was asked for."""

from __future__ import annotations

from io import BytesIO


class Beginning(BytesIO):
    """The first bytes of a file, to be read instead of it.

    Attributes:
        passed: whether somebody wanted to read beyond them, and found an end that is not the file's.
    """

    passed = False

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file; notes whether it came short."""
        data = super().read(size)
        if size is None or size < 0 or len(data) < size:
            self.passed = True
        return data
