"""The `lungprint` command: a group whose commands are loaded one by one, so that help and small commands start fast."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

import click

from cli.outcome import ExitCode
from config.errors import LungprintError

# Each command is the object `command` in the module cli.<name>, with _ for -; its summary stands here so that help
# imports none.
SUMMARIES = {
    "up": "Start the whole system and keep it running.",
    "status": "Images by state, queues, dead letters and open alerts.",
    "alerts": "List alerts, the most probable first.",
    "backfill": "Index folders of DICOM files that exist already.",
    "retrieve": "Have the PACS send the chest images of days gone by.",
    "encode": "Encode images or DICOM files into a file of arrays.",
    "compare": "Tell whether two images show one person, and why.",
    "match": "Find the images of one person in two collections.",
    "similar": "Find images that look like a given one.",
    "audit": "Find misfiled images and duplicate records in the whole archive.",
    "evaluate": "Measure how well persons are recognised in images of known patients.",
    "bench": "Measure published methods and this product's side by side.",
    "replay": "Measure what the whole system finds in a stream with planted errors.",
    "calibrate": "Fit the probability that two images show one person.",
    "dead-letters": "Images that were given up, and another try for them.",
    "messages": "Messages about alerts that wait or were given up, and another try for them.",
    "user": "Add, list or disable users of the dashboard.",
    "dataset": "Turn images of your own into training and evaluation data.",
    "config": "Show the options in effect, or write an option file.",
    "train": "Train a network on your own images or on the archive.",
    "purge": "Remove a patient or a study for good, files and vectors included.",
    "migrate": "Bring the database to the schema of this version.",
    "process": "Run one process of the system, for containers and service managers.",
    "demo": "Start a system in a scratch folder and send it chest X-rays, some misfiled.",
}


class LazyGroup(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which one meets them."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in SUMMARIES:
            return None
        command = import_module(f"cli.{cmd_name.replace('-', '_')}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help, from their summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("lungprint"), prog_name="lungprint")
def lungprint() -> None:
    """Lungprint recognises the person in a chest X-ray and says when the name on the study disagrees."""


def main() -> None:
    """Run the command line; an expected error is one plain sentence and an exit code."""
    try:
        lungprint(prog_name="lungprint")
    except Exception as error:
        if is_expected(error):
            said = str(error)
        elif is_of_database(error):
            said = (
                f"The database cannot be used ({type(error).__name__}). Is it reachable, is database.url right, and "
                "was the system started once, or `lungprint migrate` run?"
            )
        else:
            raise
        click.echo(f"lungprint: {said}", err=True)
        sys.exit(int(getattr(error, "exit_code", ExitCode.USAGE)))


def is_expected(error: Exception) -> bool:
    """Whether an error's text is a plain sentence for the user; retrieval's errors are not imported to ask."""
    if isinstance(error, LungprintError):
        return True
    errors = sys.modules.get("retrieval.errors")
    return errors is not None and isinstance(error, errors.RetrievalError)


def is_of_database(error: Exception) -> bool:
    """Whether the database raised it; SQLAlchemy is not imported to ask. Its text may quote what was asked."""
    errors = sys.modules.get("sqlalchemy.exc")
    return errors is not None and isinstance(error, errors.SQLAlchemyError)


if __name__ == "__main__":
    main()
