"""`lungprint dataset`: bring images of one's own into the form that training and evaluation read."""

from __future__ import annotations

import click

from cli.datasets.make import make
from cli.datasets.pairs import pairs


@click.group()
def command() -> None:
    """Make a list of images with patients and splits for training and evaluation, and pairs from it.

    Sources are a CSV of your own, the public data sets ChestX-ray14 and CheXpert, a folder of DICOM files, or the
    system's own archive. The page docs/data.md says what is left out and what it means for privacy.
    """


command.add_command(make)
command.add_command(pairs)
