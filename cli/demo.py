"""`lungprint demo`: a whole system, a stream of chest X-rays with some of them misfiled, and what it made of them."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from cli.demonstration import films
from cli.demonstration.report import as_json as report_json
from cli.demonstration.report import show
from cli.demonstration.run import Delivery, deliver, options_for, planned
from cli.demonstration.score import Score, score
from cli.demonstration.scratch import ScratchSystem
from cli.outcome import EXIT_CODES, ExitCode
from cli.output import print_json

IMAGES = 150


@click.command(epilog=EXIT_CODES)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Real images: a manifest.csv, or a folder of JPEG, PNG or DICOM files; without it, synthetic chests.",
)
@click.option("--exit", "end", is_flag=True, help="End when the result is shown, instead of staying up until Ctrl-C.")
@click.option("--images", type=click.IntRange(20, 5000), default=IMAGES, show_default=True, help="Images to send.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed, the same stream.")
@click.option(
    "--scratch",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Folder for the demo's system; emptied at each run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; all else goes to standard error.")
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, end: bool, **choice: Any) -> None:
    """Start a system in a scratch folder, send it chest X-rays by C-STORE, and show what it found.

    About one in eleven of the images that could be told is deliberately filed under another patient; one person gets a
    second record, and one image is sent again under another patient. Exit code 0 when every image was processed and
    most misfiled images were flagged, else 1.

    \b
    Examples:
      lungprint demo
      lungprint demo --exit --images 60
      lungprint demo --data xrays/manifest.csv
    """
    out = Console(stderr=as_json, highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    delivery = _stream(**{name: choice[name] for name in ("data", "images", "seed")})
    options, why = options_for(delivery)
    system = ScratchSystem(choice["scratch"], options)
    found: Score | None = None
    try:
        out.print(f"Starting a system in {system.root} …")
        now = system.start()
        address = f"http://{now['web_host']}:{now['web_port']}/"
        out.print(f"Dashboard {address}  user {system.login.user}  password {system.login.password}", markup=False)
        deliver(delivery, system, now, out)
        with system.database.read() as session:
            found = score(session, list(delivery.sent()))
        out.print(f"\n{why}\n", soft_wrap=True)
        show(found, out)
        if as_json:
            print_json(report_json(found))
        if not end:
            out.print(
                f"\nDashboard {address}  user {system.login.user}  password {system.login.password}\n"
                "The system stays up; Ctrl-C ends it.",
                markup=False,
            )
            system.wait()
    except KeyboardInterrupt:
        out.print("\nStopping …")
    finally:
        system.close()
    ctx.exit(ExitCode.OK if found is not None and found.succeeded else ExitCode.NOTHING)


def _stream(data: Path | None, images: int, seed: int) -> Delivery:
    found = films.synthetic(images, seed) if data is None else films.real(data, images, seed)
    return planned(found, seed)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
