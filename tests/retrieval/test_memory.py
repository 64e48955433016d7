from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from retrieval.memory import keep_freed_memory

GLIBC = platform.libc_ver()[0] == "glibc"
FAULTS = """
import resource, sys
import torch
from retrieval.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(5):
    torch.ones(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Pages that the kernel had to bring in for twenty tensors of 32 MiB, one after the other."""
    done = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="needs glibc")
def test_a_block_that_was_freed_is_used_again() -> None:
    assert page_faults("keep") < 0.2 * page_faults("plain")


@pytest.mark.skipif(GLIBC, reason="needs another C library than glibc")
def test_another_c_library_is_left_alone() -> None:
    assert not keep_freed_memory()
