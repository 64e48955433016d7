"""How much is sent: a little in every test run, what the acceptance asks for with FUZZ=full in the environment."""

from __future__ import annotations

import os

FULL = os.environ.get("FUZZ") == "full"
PDUS = int(os.environ.get("FUZZ_PDUS", "100000" if FULL else "1500"))
DATASETS = int(os.environ.get("FUZZ_DATASETS", "10000" if FULL else "400"))
# Another seed sends other damage; a failure names the seed of its case.
SEED = int(os.environ.get("FUZZ_SEED", "1"))

HANG_SECONDS = 5.0
# On a machine with other work one of thousands waits long for its turn; what hangs, hangs each time.
TRIES = 3
GROWTH_BYTES = 50 << 20
TIMEOUT = 4 * 3600 if FULL else 300
