"""`python -m retrieval.evaluation`: the recognition figures of a weight file."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from retrieval.data.manifest import Split
from retrieval.errors import RetrievalError
from retrieval.evaluation.report import show, write
from retrieval.evaluation.run import evaluate_weights
from retrieval.weights import DEFAULT_NAME


@click.command()
@click.option("--manifest", type=click.Path(path_type=Path), required=True, help="CSV of images.")
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Folder for prepared images.")
@click.option("--weights", default=DEFAULT_NAME, show_default=True, help="Shipped name, or a file.")
@click.option("--split", type=click.Choice([s.value for s in Split]), default="test", show_default=True)
@click.option("--frozen", type=click.Path(path_type=Path), help="ImageNet mobilenet_v2 weights, as a comparator.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for recognition.csv and .json.")
def main(manifest: Path, cache: Path, weights: str, split: str, frozen: Path | None, output: Path | None) -> None:
    """Report how well a network recognises patients it has not learned from."""
    try:
        report = evaluate_weights(manifest, cache, weights, Split(split), frozen)
        show(report, Console())
        if output is not None:
            write(report, output)
    except RetrievalError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
