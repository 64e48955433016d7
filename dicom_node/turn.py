"""One at a time, over threads and processes."""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from pathlib import Path
from types import TracebackType


class Turn:
    """A lock that threads and processes wait for in a queue, woken the moment it is free.

    SQLite lets one writer in at a time and has the others sleep and look again, up to 100 ms: writers that take turns
    before they go there never meet. The lock ends with the process that holds it, however it ends.

    Args:
        file: made when it is not there; whoever names the same file takes turns.
    """

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._file)
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            # Else nobody in this process would ever have a turn again.
            self._threads.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()
