"""`lungprint purge`: remove a patient or a study for good."""

from __future__ import annotations

import getpass
import sys
import time
from functools import partial
from pathlib import Path

import click
from kombu.exceptions import OperationalError
from rich.table import Table

from archive.changes import forget_changes, newest_change
from archive.files import ImageFiles
from archive.leftovers import finish, unfinished, vectors_left
from archive.links import Author
from archive.purge import Extent, Subject, extent, purge
from archive.states import PurgeKind
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import console, print_json, progress_bar
from cli.system import System, data_dir_option, json_option, opened
from config.broker import Task, celery_app
from dashboard.secret import secret_key
from dicom_node.quarantine import files_about
from retrieval.errors import RetrievalError
from retrieval.index.snapshot import discard, snapshots
from workers.index_owner import IndexOwned, open_owner

# How long a running index is given to forget; it may be in the middle of a snapshot of a million images.
INDEX_SECONDS = 120.0
LOOK_SECONDS = 0.2

_NAMES = {
    "patients": "patient records",
    "studies": "studies",
    "images": "images, with their files and previews",
    "versions": "other versions of images, with their files",
    "codes": "embeddings and hash codes",
    "alerts": "alerts",
    "decisions": "decisions about them",
    "quarantined": "refused files in the quarantine",
}


@click.command(epilog=EXIT_CODES)
@click.option("--patient", "patient_id", help="Patient ID, exactly as on the studies.")
@click.option("--issuer", help="Only the patient whose ID this authority has issued; by default whoever did.")
@click.option("--study", "study_uid", help="Study Instance UID, under whatever patient.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@data_dir_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    patient_id: str | None,
    issuer: str | None,
    study_uid: str | None,
    yes: bool,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Remove all that is stored of a patient or a study: rows, files, previews, refused copies, vectors.

    Shows first how much that is, and removes nothing until it is told to: by an answer at the terminal, or by --yes.
    What was removed cannot be brought back, and an image that the PACS sends again is stored again. The audit trail
    keeps who asked, when and how many, and of whom only a hash under the key of this system. The system may be running
    meanwhile; a purge that was interrupted is finished by the next `lungprint purge`, whatever that is about.

    Backups, and messages and reports that were sent to other systems, are not reached.

    \b
    Examples:
      lungprint purge --patient 4711                    # how much is there?
      lungprint purge --patient 4711 --issuer HOSP --yes
      lungprint purge --study 1.2.840.1 --yes --json
    """
    subject = _subject(patient_id, issuer, study_uid)
    with opened(data_dir) as system:
        earlier = _finish_all(system)
        with system.database.read() as session:
            refused = files_about(system.folder, subject.kind, subject.name)
            found = extent(session, subject, refused)
        if not as_json:
            _show(found, earlier)
        if not found or not (yes or _agreed(as_json)):
            _conclude(ctx, system, found, removed=False, as_json=as_json, earlier=earlier)
            return
        author = Author(f"{getpass.getuser()} (command line)")
        purge(system.database, subject, author, secret_key(system.folder), refused)
        _finish_all(system)
        _conclude(ctx, system, found, removed=True, as_json=as_json, earlier=earlier)


def _subject(patient_id: str | None, issuer: str | None, study_uid: str | None) -> Subject:
    if (patient_id is None) == (study_uid is None):
        raise InputNotUsable("Name either a patient with --patient or a study with --study.")
    if study_uid is not None:
        if issuer is not None:
            raise InputNotUsable("An issuer belongs to a Patient ID; leave --issuer out with --study.")
        return Subject(PurgeKind.STUDY, study_uid.strip())
    if patient_id is None or not patient_id.strip():
        raise InputNotUsable("The Patient ID is empty; images without one are removed by their study.")
    return Subject(PurgeKind.PATIENT, patient_id.strip(), issuer)


def _finish_all(system: System) -> int:
    """Finish purges whose rows are gone already; returns how many."""
    with system.database.read() as session:
        waiting = unfinished(session)
    for number in waiting:
        _finish(system, number)
    return len(waiting)


def _finish(system: System, number: int) -> None:
    with progress_bar(transient=True) as bar:
        task = bar.add_task("removing files")
        show = partial(bar.update, task)
        finish(
            system.database,
            ImageFiles(system.folder),
            number,
            lambda done, total: show(completed=done, total=total),
        )


def _agreed(as_json: bool) -> bool:
    return not as_json and sys.stdin.isatty() and click.confirm("Remove all of this for good?")


def _show(found: Extent, earlier: int) -> None:
    if earlier:
        click.echo(f"{earlier} earlier purges that were interrupted are finished.")
    if not found:
        click.echo("Nothing of this is stored.")
        return
    table = Table("how many", "what", box=None, pad_edge=False)
    for name, count in vars(found).items():
        table.add_row(str(count), _NAMES[name])
    console().print(table)


def _conclude(ctx: click.Context, system: System, found: Extent, removed: bool, as_json: bool, earlier: int) -> None:
    """Have the index forget what this or an earlier purge has removed, and say how it went."""
    left = _forget_vectors(system)
    if as_json:
        print_json({"found": dict(vars(found)), "removed": removed, "finished_earlier": earlier, "vectors_left": left})
    elif removed:
        click.echo("Removed." if not left else "Removed, but the index has not forgotten it yet.")
    elif found:
        click.echo("Nothing was removed; add --yes to remove it.")
    if left and not as_json:
        click.echo("The running index forgets when it gets to it or starts again; `lungprint purge` tells.", err=True)
    ctx.exit(ExitCode.OK if (found or earlier) and not left else ExitCode.NOTHING)


def _forget_vectors(system: System) -> int:
    """Have the index, running or not, forget what was purged, snapshots too; returns how much it may still hold."""
    with system.database.read() as session:
        if not vectors_left(session):
            return 0
    try:
        open_owner(system.database, system.settings, system.folder, wait_seconds=0.0).close()
    except IndexOwned:
        return _ask_running_index(system)
    except RetrievalError:
        # Without usable weights there is no index to load; the snapshots are only a cache.
        for snapshot in snapshots(system.folder.index):
            discard(snapshot)
        with system.database.write() as session:
            forget_changes(session, newest_change(session))
    with system.database.read() as session:
        return vectors_left(session)


def _ask_running_index(system: System) -> int:
    app = celery_app(system.settings, system.folder)
    until = time.monotonic() + INDEX_SECONDS
    try:
        app.send_task(str(Task.SNAPSHOT), ignore_result=True, retry=False)
    except OperationalError:
        until = 0.0
    with console().status("The index forgets …"):
        while True:
            with system.database.read() as session:
                left = vectors_left(session)
            if not left or time.monotonic() > until:
                return left
            time.sleep(LOOK_SECONDS)
