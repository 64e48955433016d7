"""Decodes files in processes of their own: one that crashes, hangs or eats memory fails its own image alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool

from pebble import ProcessExpired, ProcessPool

from config.settings import Decoding
from workers.decoder import Order, Outcome, Unreadable, begin, decode_image

logger = logging.getLogger(__name__)

MOST_PROCESSES = 8
# A decoder is started afresh after so many images: what leaks in a codec stays small.
IMAGES_PER_PROCESS = 500

Decode = Callable[[Order], Outcome]


class DecodePool:
    """Decoder processes; `start` makes them ready before the first image comes.

    Args:
        options: time limit, image size limit and number of processes.
        decode_one: what a decoder does; must be importable by name.
    """

    def __init__(self, options: Decoding, decode_one: Decode = decode_image) -> None:
        self._options = options
        self._decode_one = decode_one
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None

    def start(self) -> bool:
        """Begin to start the decoders, which load their codecs in the background; whether that was possible."""
        with self._lock:
            return bool(self._running().active)

    def submit(self, order: Order) -> Future[Outcome]:
        """Decode a file as soon as a decoder is free."""
        with self._lock:
            future: Future[Outcome] = self._running().schedule(
                self._decode_one, args=(order,), timeout=self._options.timeout_seconds
            )
            return future

    def outcome(self, future: Future[Outcome]) -> Outcome:
        """What became of a decoding; waits for it, but not for ever.

        A decoder that dies before it has said what it works on leaves a future that nobody completes.
        """
        try:
            return future.result(timeout=4 * self._options.timeout_seconds)
        except TimeoutError:
            return Unreadable(f"decoding takes longer than {self._options.timeout_seconds:g} seconds", for_good=False)
        except ProcessExpired as error:
            return Unreadable(f"the decoder crashed (exit code {error.exitcode})", for_good=False)
        except (BrokenProcessPool, CancelledError):
            return Unreadable("the decoders were restarted", for_good=False)
        except MemoryError:
            return Unreadable("decoding needs more memory than it may use", for_good=False)
        except OSError as error:
            return Unreadable(f"the file cannot be read or the preview not written: {error.strerror}", for_good=False)
        except Exception as error:
            logger.exception("decoding failed in an unexpected way")
            return Unreadable(f"decoding failed: {type(error).__name__}", for_good=False)

    def close(self) -> None:
        """End all decoders at once."""
        with self._lock:
            self._end()

    def _running(self) -> ProcessPool:
        if self._pool is not None and not self._pool.active:
            self._end()
        if self._pool is None:
            self._pool = self._made()
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _made(self) -> ProcessPool:
        # Not "forkserver": the kernel can kill a decoder with its parent only if this process itself is the parent.
        context = multiprocessing.get_context("spawn")
        processes = self._options.processes or min(os.cpu_count() or 1, MOST_PROCESSES)
        return ProcessPool(
            max_workers=processes,
            max_tasks=IMAGES_PER_PROCESS,
            initializer=begin,
            initargs=(self._options.max_pixels,),
            context=context,
        )
