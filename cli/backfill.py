"""`lungprint backfill`: index DICOM files that exist already, for example a PACS's archive folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import print_json, progress_bar
from cli.system import data_dir_option, json_option, opened, running
from dicom_node.backfill import backfill, dicom_files
from dicom_node.status import StoreStatus

# Reasons shown one by one; the rest is counted.
MOST_SHOWN = 50


@click.command(epilog=EXIT_CODES)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@data_dir_option
@json_option
@click.pass_context
def command(ctx: click.Context, /, paths: tuple[Path, ...], data_dir: Path, as_json: bool) -> None:
    """Take in all DICOM files below PATHS, with the same checks as the listener; the files themselves are only read.

    May be stopped with Ctrl-C and started again at any time: it goes on where it stopped, and files that have not
    changed are passed over. Images are encoded and compared by the running system, or once it is started.

    \b
    Examples:
      lungprint backfill /archive/2023 /archive/2024
      lungprint backfill /archive --json
    """
    files = dicom_files(paths)
    if not files:
        raise InputNotUsable("There are no files in " + ", ".join(str(path) for path in paths) + ".")
    counts: Counter[str] = Counter(dict.fromkeys(("stored", "passed_over", "refused", "failed"), 0))
    reasons: Counter[str] = Counter()
    with opened(data_dir, create=True) as system, progress_bar() as bar:
        task = bar.add_task("taking in", total=len(files))
        for imported in backfill(system.settings, system.folder, system.database, files):
            bar.advance(task)
            kind = _kind(None if imported.answer is None else imported.answer.status)
            counts[kind] += 1
            if imported.answer is not None and kind in ("refused", "failed"):
                reasons[imported.answer.reason] += 1
                if counts["refused"] + counts["failed"] <= MOST_SHOWN:
                    bar.console.print(f"{imported.path}: {imported.answer.reason}", markup=False, soft_wrap=True)
        waits = running(system.folder) is None
    if as_json:
        print_json({**counts, "reasons": dict(reasons.most_common())})
    else:
        click.echo(
            f"{len(files)} files: {counts['stored']} taken in, {counts['passed_over']} dealt with before, "
            f"{counts['refused']} refused, {counts['failed']} to be tried again."
        )
        if waits:
            click.echo("The system is not running; the images are encoded and compared once `lungprint up` is started.")
    ctx.exit(ExitCode.NOTHING if counts["failed"] or counts["refused"] else ExitCode.OK)


def _kind(status: StoreStatus | None) -> str:
    if status is None:
        return "passed_over"
    if status is StoreStatus.SUCCESS:
        return "stored"
    return "failed" if status is StoreStatus.OUT_OF_RESOURCES else "refused"
