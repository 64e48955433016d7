"""Puts a replay's figures on record: its CSV into `results/`, its tables into `docs/replay.md`.

Run: `lungprint replay MANIFEST --swap 0.02 --seed 1 -o report`, then `python -m benchmarks.replay report`.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from cli.replaying.report import markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "replay.csv"
PAGE = ROOT / "docs" / "replay.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def with_figures(page: str, figures: str) -> str:
    """The page with other text between its marks."""
    return re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{figures}\n\n{END}", page)


def main() -> None:
    """Record a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="folder that `lungprint replay` wrote")
    folder = parser.parse_args().report
    shutil.copy(folder / "replay.csv", RESULTS)
    said = (folder / "report.md").read_text(encoding="utf-8")
    facts = said.partition("# Replay")[2].partition("\n## ")[0].strip()
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), f"{facts}\n\n{markdown(RESULTS)}"), encoding="utf-8")
    print(f"{RESULTS} and {PAGE} are written.")


if __name__ == "__main__":
    main()
