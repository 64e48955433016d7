"""`lungprint train`: learn to recognise persons from a manifest of images, or from the site's own archive."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from cli.outcome import EXIT_CODES, ExitCode
from cli.output import print_json, progress_bar
from cli.system import data_dir_option, json_option
from retrieval.training.shipped import find_config, shipped_configs

if TYPE_CHECKING:
    from retrieval.training.config import TrainingConfig
    from retrieval.training.loop import Trainer
    from retrieval.training.run import Sources
    from retrieval.training.sweep import MarginResult

_SMOOTHING = 0.9
_SWEEP_SHARE = 10

_EPILOG = "\b\nConfigurations that come with Lungprint:\n" + "\n".join(
    f"  {name:<24}{said}" for name, said in shipped_configs().items()
)


@dataclass
class _Stop:
    """Whether the run was asked to end after the present step."""

    asked: bool = False


@click.command(epilog=f"{_EPILOG}\n\n{EXIT_CODES}")
@click.argument("config", metavar="CONFIG")
@click.option("--data", "manifest", type=click.Path(path_type=Path), help="Manifest CSV of the images.")
@click.option("--from-archive", is_flag=True, help="Learn from the system in --data-dir: Patient IDs are the labels.")
@data_dir_option
@click.option("--run", "folder", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of it.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Prepared images; default: RUN/cache.")
@click.option("--backbone-weights", type=click.Path(path_type=Path), help="Torchvision weights (safetensors).")
@click.option(
    "--start", type=click.Path(path_type=Path), help="Checkpoint, weight file or name of a shipped one to start from."
)
@click.option("--pairs", type=click.Path(path_type=Path), help="Pair list to learn from; see `lungprint dataset`.")
@click.option("--device", help="cpu, cuda, cuda:1, ...; default: what CONFIG says.")
@click.option("--export", "target", type=click.Path(file_okay=False, path_type=Path), help="Folder for the weights.")
@click.option(
    "--refit",
    type=click.Path(path_type=Path),
    metavar="WEIGHTS",
    help="Train nothing: fit the regional network and the calibration of these weights anew; needs --export.",
)
@click.option("--sweep-margin", metavar="FROM:TO:STEP", help="Try margins, one short run each, and tell the best.")
@click.option("--sweep-steps", type=click.IntRange(1), help="Steps of each short run; default: a tenth of CONFIG's.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train a network as CONFIG says, a TOML file or the name of one that comes with Lungprint.

    \b
    The run's folder gets
      checkpoint.safetensors  all that is needed to go on
      best.safetensors        the averaged weights that validated best
      curve.csv, curve.png    losses, learning rate, validation figures; validation.csv the latter by dataset
      config.toml, environment.json  what is needed to repeat the run

    Ctrl-C or SIGTERM ends the run after the present step and keeps all of it; the same command goes on. A run that was
    killed goes on from its last checkpoint and ends with the same weights as one that was not. With --export the
    finished network is written as a weight file with gate, card and calibration, for the option encoder.weights.

    \b
    Examples:
      lungprint train mobilenet_v2 --data manifest.csv --run runs/first --export weights
      lungprint train site --from-archive --run runs/site --export weights/site
      lungprint train p1_contrastive --data manifest.csv --run runs/p1 --sweep-margin 0.1:1.0:0.1
      lungprint train mobilenet_v2_stage4 --data manifest.csv --run runs/refit --refit default --export weights
    """
    config, sources = _prepared(ctx, options)
    if options["refit"]:
        _refit(config, sources, options)
        return
    done = _sweep(config, sources, options) if options["sweep_margin"] else _train(config, sources, options)
    ctx.exit(ExitCode.OK if done else ExitCode.NOTHING)


def _prepared(ctx: click.Context, options: dict[str, Any]) -> tuple[TrainingConfig, Sources]:
    if bool(options["manifest"]) == options["from_archive"]:
        raise click.UsageError("Name the images with --data or with --from-archive, one of the two.", ctx)
    if options["refit"] and (options["sweep_margin"] or not options["target"]):
        raise click.UsageError("--refit needs --export and knows no sweep.", ctx)
    if options["sweep_margin"] and options["target"]:
        raise click.UsageError("A sweep exports no weights; train with the best margin first.", ctx)
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from retrieval.training.config_file import load_config
    from retrieval.training.run import Sources

    config = load_config(find_config(options["config"]))
    if options["device"]:
        config = replace(config, device=options["device"])
    folder: Path = options["folder"]
    sources = Sources(
        manifest=options["manifest"] or _manifest_of_archive(folder / "data", options["data_dir"]),
        cache=options["cache"] or folder / "cache",
        backbone_weights=options["backbone_weights"],
        start=options["start"],
        pairs=options["pairs"],
    )
    return config, sources


def _manifest_of_archive(folder: Path, data_dir: Path) -> Path:
    """Make the manifest once for each run, so that a run that goes on learns from the same images."""
    manifest = folder / "manifest.csv"
    if not manifest.exists():
        # Images of an attempt that did not come to an end.
        shutil.rmtree(folder, ignore_errors=True)
        from cli.datasets.make import make

        asked = ["--from-archive", "--output", str(folder), "--data-dir", str(data_dir)]
        with redirect_stdout(sys.stderr):
            make.main(asked, prog_name="lungprint dataset make", standalone_mode=False)
    return manifest


def _train(config: TrainingConfig, sources: Sources, options: dict[str, Any]) -> bool:
    from retrieval.training.run import export_run

    trainer = _opened(config, sources, options["folder"])
    if not _to_the_end(trainer, "training"):
        return False
    exported = export_run(trainer, sources, options["target"]) if options["target"] else None
    means = trainer.curve.means()
    if options["as_json"]:
        figures = asdict(means[-1]) if means else None
        print_json(
            {
                "run": str(options["folder"]),
                "steps": trainer.step,
                "validation": figures,
                "exported": exported and str(exported),
            }
        )
        return True
    click.echo(f"{trainer.step} steps done: {options['folder']}")
    if means:
        last = means[-1]
        click.echo(
            f"validation patients: AUC {last.auc:.3f}, TPR at FPR 1 % {last.tpr_at_fpr_1e2:.2f}, "
            f"P@1 {last.precision_at_1:.2f} (best AUC {trainer.curve.best_auc:.3f})"
        )
    if exported is not None:
        click.echo(f"weight file: {exported}")
    return True


def _refit(config: TrainingConfig, sources: Sources, options: dict[str, Any]) -> None:
    from retrieval.training.run import refit_weights

    with redirect_stdout(sys.stderr):
        path = refit_weights(config, options["refit"], sources, options["target"])
    if options["as_json"]:
        print_json({"exported": str(path)})
    else:
        click.echo(f"weight file: {path}")


def _sweep(config: TrainingConfig, sources: Sources, options: dict[str, Any]) -> bool:
    from retrieval.training.sweep import MarginResult, best_margin, margin_run, parse_margins, write_sweep

    margins = parse_margins(options["sweep_margin"])
    steps = options["sweep_steps"] or max(2, config.steps // _SWEEP_SHARE)
    runs = [(margin, margin_run(config, margin, steps)) for margin in margins]
    results: list[MarginResult] = []
    for margin, short in runs:
        trainer = _opened(short, sources, options["folder"] / f"margin-{margin:g}")
        if not _to_the_end(trainer, f"margin {margin:g}"):
            return False
        results.append(MarginResult.of(short, trainer.curve.means()[-1]))
        write_sweep(options["folder"], results)
    best = best_margin(results)
    if options["as_json"]:
        print_json({"best": asdict(best), "margins": [asdict(result) for result in results]})
        return True
    for result in results:
        click.echo(f"margin {result.margin:<6g}AUC {result.auc:.4f}" + ("  best" if result is best else ""))
    click.echo(
        f"Set margin = {best.margin:g} in [losses]. Table and plot: {options['folder'] / 'sweep.csv'}, sweep.png"
    )
    return True


def _opened(config: TrainingConfig, sources: Sources, folder: Path) -> Trainer:
    """Open a run; the progress bars of what is prepared for it go to standard error."""
    from retrieval.training.run import open_run

    with redirect_stdout(sys.stderr):
        return open_run(config, sources, folder)


def _to_the_end(trainer: Trainer, name: str) -> bool:
    """Train with a progress bar; false if the run was asked to stop, after everything was saved."""
    config = trainer.config
    speed = 0.0
    with _stopped_by_signals() as stop, progress_bar() as bar:
        shown = bar.console.is_terminal
        task = bar.add_task(name, total=config.steps, completed=trainer.step)
        began = time.monotonic()
        steps = trainer.run()
        for costs in steps:
            now = time.monotonic()
            fresh = config.images_per_step / max(now - began, 1e-9)
            speed = _SMOOTHING * speed + (1 - _SMOOTHING) * fresh if speed else fresh
            began = now
            said = f"{name}: loss {costs.total:.3f}, {speed:.0f} images/s"
            bar.update(task, completed=costs.step, description=said)
            if not shown and (costs.step % config.save_every == 0 or trainer.finished):
                click.echo(f"step {costs.step} of {config.steps}, {said}", err=True)
            if stop.asked:
                break
        steps.close()
    if trainer.finished:
        return True
    trainer.save()
    click.echo(f"Stopped after step {trainer.step} of {config.steps}. The same command goes on from there.", err=True)
    return False


@contextmanager
def _stopped_by_signals() -> Iterator[_Stop]:
    """Note SIGINT and SIGTERM; a second one ends the process as usual."""
    stop = _Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def asked(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, asked)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
