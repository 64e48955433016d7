"""The page about one's own data, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import click

from archive.labels import Doubt
from cli.dataset import command
from retrieval.data.manifest import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def test_every_reason_for_leaving_out_an_image_of_the_archive_is_explained() -> None:
    assert [str(doubt) for doubt in Doubt if f"| {doubt} |" not in PAGE] == []


def test_every_column_is_explained() -> None:
    assert [column for column in COLUMNS if f"`{column}`" not in PAGE] == []


def test_every_option_that_is_named_exists() -> None:
    known = {
        option
        for part in command.commands.values()
        for parameter in part.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE)) - {"--help"}
    assert len(named) >= 8
    assert named <= known
