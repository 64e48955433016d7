"""`lungprint replay`: how many wrong labels the whole system finds, and at what price in false alerts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console

from cli.outcome import ExitCode, InputNotUsable
from cli.output import console

_NEEDED = ("matplotlib",)
_SHARE = click.FloatRange(0.0, 0.5)


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path))
@click.option("--swap", type=_SHARE, default=0.02, show_default=True, help="Share of images to misfile.")
@click.option("--second-record", type=_SHARE, default=0.01, show_default=True, help="Share under a second Patient ID.")
@click.option("--resend", type=_SHARE, default=0.01, show_default=True, help="Share of images to send again.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed, the same stream.")
@click.option(
    "--split",
    type=click.Choice(["test", "val", "train", "all"]),
    default="test",
    show_default=True,
    help="Whose images to replay; only `test` patients were never looked at in training.",
)
@click.option("--dataset", "datasets", multiple=True, help="Replay this dataset only; may be repeated.")
@click.option("--images", type=click.IntRange(10), help="Replay so many at most, whole patients at random.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Rounds; by default as many as misfile 100, at most 20.")
@click.option("--budget", type=click.FloatRange(0, 1000), default=20.0, show_default=True, help="The system's own one.")
@click.option("--weights", default="default", show_default=True, help="Name of shipped weights, or a weight file.")
@click.option("--over-network", is_flag=True, help="Send to a whole system by C-STORE; slower, and not simulated.")
@click.option("--keep", is_flag=True, help="Keep the work folder with the finished rounds.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("replay"),
    show_default=True,
    help="Folder for the report.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    manifest: Path,
    swap: float,
    second_record: float,
    resend: float,
    seed: int,
    split: str,
    datasets: tuple[str, ...],
    images: int | None,
    rounds: int | None,
    budget: float,
    weights: str,
    over_network: bool,
    keep: bool,
    output: Path,
) -> None:
    """Replay images of known patients through the real pipeline, some of them misfiled, and report what it finds.

    MANIFEST is a CSV as for `lungprint evaluate` (see docs/data.md), or a folder of images. The images become a stream
    in order of time, with a header for each patient. Some are filed under another patient: one who has priors, one of
    the same sex and age group, one without priors. Some get a second record of their person, some are sent again with
    the same pixels. All go through the system's own intake, encoder and match in this process, one after the other, so
    that the same seed gives the same result; with --over-network through a whole system by C-STORE instead.

    The report says for each kind of error how many were found and missed, false alerts per 1,000 studies and precision,
    at alert budgets of 1, 5 and 20 per 1,000 studies, and what would come of it in galleries of 10,000 to 1,000,000
    persons (a simulation from the scores measured).

    Ctrl-C stops; the same command goes on where it stopped. The folder then holds report.md, replay.csv (all figures),
    replay.png (the curves) and images.csv (each image of each round, by its row in the manifest).

    \b
    Exit codes:
      0  done
      1  done, but some images were given up: see the report
      2  wrong usage, configuration or input
      3  over the network: the system did not run

    \b
    Examples:
      lungprint replay xrays/manifest.csv --swap 0.02 --seed 1
      lungprint replay xrays/manifest.csv --dataset nih --images 200 --rounds 1 -o quick
      lungprint replay xrays/manifest.csv --weights mine.safetensors -o mine
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputNotUsable(f"A replay needs {' and '.join(missing)}: install it with pip install 'lungprint[train]'.")
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from cli.replaying.figures import unsettled
    from cli.replaying.plan import Shares
    from cli.replaying.report import show, write_all
    from cli.replaying.run import Replay, Task
    from cli.replaying.timeline import chosen, row_numbers

    task = Task(
        sources=chosen(manifest, split, datasets, images, seed),
        shares=Shares(swap, second_record, resend),
        seed=seed,
        weights=weights,
        budget=budget,
        rounds=rounds,
        over_network=over_network,
        output=output,
    )
    out = console()
    try:
        output.mkdir(parents=True, exist_ok=True)
        replay = Replay(task, Console(stderr=True, highlight=False))
        outcomes = replay.play()
        report = write_all(task, outcomes, row_numbers(manifest))
        if not keep:
            replay.tidy()
    except OSError as error:
        raise InputNotUsable(f"{error.filename or output} cannot be used: {error.strerror}.") from error
    show(task, outcomes, out)
    click.echo(f"Report: {report}")
    ctx.exit(ExitCode.NOTHING if unsettled(outcomes) else ExitCode.OK)
