"""`lungprint bench`: published methods and this product's, measured side by side."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from cli.outcome import EXIT_CODES, InputNotUsable
from cli.output import console, progress_bar

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEEDED = ("imagehash", "matplotlib", "psutil")


@click.command(epilog=EXIT_CODES)
@click.argument("methods", nargs=-1)
@click.option("--data", "manifest", type=_FILE, required=True, help="CSV that lists the images and their patients.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("comparison"),
    show_default=True,
    help="Folder for the results.",
)
@click.option(
    "--profile",
    type=click.Choice(["miniature", "quick", "full"]),
    default="quick",
    show_default=True,
    help="miniature: 24 images and 3 training steps, to see that everything runs; quick: 200 images and 6 steps, a "
    "quarter of an hour on two cores; full: all images; on a GPU as many steps as the papers took, else 150 from "
    "ImageNet weights and 6 from random ones, an hour or two on two cores.",
)
@click.option(
    "--hours",
    type=click.FloatRange(0),
    help="Train all networks together for so long at most, each for the same share of what is left. A network whose "
    "time is up is measured as it is, the table says how far it came, and the same command goes on with it. Measuring "
    "takes its own time.",
)
@click.option("--dataset", "datasets", multiple=True, help="Only images of this dataset; may be repeated.")
@click.option(
    "--split",
    type=click.Choice(["test", "val", "train"]),
    default="test",
    show_default=True,
    help="Whose images to compare; only `test` patients were never looked at in training.",
)
@click.option(
    "--pairs",
    type=_FILE,
    help="Pairs for Packhäuser's protocol: CSV (file_a, file_b, same) or a published list; drawn as theirs if missing.",
)
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an earlier comparison of the same images: its other methods stand beside METHODS, which alone are "
    "measured.",
)
@click.option("--weights", default="default", show_default=True, help="This product's: a shipped name, or a file.")
@click.option(
    "--backbone-weights",
    "backbones",
    multiple=True,
    metavar="NAME=FILE",
    help="ImageNet weights (safetensors) of a torchvision backbone, for example mobilenet_v2=FILE; may be repeated. "
    "A backbone that no paper used takes part beside theirs.",
)
@click.option("--pretrained", is_flag=True, help="Download ImageNet weights of the backbones without a file.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder that keeps prepared images.")
@click.option("--rounds", type=click.IntRange(20), default=300, show_default=True, help="Draws for the intervals.")
def command(
    methods: tuple[str, ...],
    manifest: Path,
    output: Path,
    profile: str,
    hours: float | None,
    datasets: tuple[str, ...],
    split: str,
    pairs: Path | None,
    beside: Path | None,
    weights: str,
    backbones: tuple[str, ...],
    pretrained: bool,
    cache: Path | None,
    rounds: int,
) -> None:
    """Measure METHODS, all of them if none is named, on images of known patients by one protocol.

    METHODS are keys or groups: p1 (contrastive Siamese networks by margin and negatives), p2 (frozen network features),
    p3 (histograms, hashes, SIFT, ORB, two kinds of Siamese networks with and without the gate), p4 (hash codes that
    find the same findings), p5 (max-pooled features), ours. A wrong name lists all. Networks of p1, p3 and p4 are
    trained on the manifest's training split; p4 is left out where no findings are known there.

    The folder gets comparison.md (what came out), tables.md (every table), comparison.csv (every figure), tables.csv
    (what one paper has and no other), comparison.png and, with p4, heat-maps: they show X-rays, so keep the folder as
    safe as those. What was measured stays in methods/: the same command goes on after a stop, and measures nothing
    twice on the same images. Several commands for different methods may share one folder at the same time. Backbones
    without ImageNet weights start from random ones, and the table says so.

    \b
    Examples:
      lungprint bench --data xrays/manifest.csv -o comparison
      lungprint bench p3 ours --data xrays/manifest.csv --dataset nih -o comparison
      lungprint bench p2 --pretrained --data xrays/manifest.csv -o comparison
      lungprint bench ours --data nih/manifest.csv --pairs pairs_testing.txt -o comparison
      lungprint bench ours --beside earlier --data xrays/manifest.csv -o comparison
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputNotUsable(
            f"The comparison needs {' and '.join(missing)}: install them with pip install 'lungprint[train]'."
        )
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from torch import cuda

    from retrieval.bench import profiles
    from retrieval.bench.catalogue import Sources, catalogue, chosen, needed_downloads
    from retrieval.bench.lessons import Lessons
    from retrieval.bench.report import HEAT_MAPS, PAGE, show, write
    from retrieval.bench.results import Origin
    from retrieval.bench.run import Comparison, compare, compared
    from retrieval.bench.training_time import TrainingTime
    from retrieval.data.manifest import Split
    from retrieval.encoder import Encoder
    from retrieval.networks.backbone import download_weights

    with tempfile.TemporaryDirectory(prefix="lungprint-bench-") as scratch, progress_bar() as bar:
        kept, files, limit = cache or Path(scratch), _files(backbones), TrainingTime(hours)
        how = profiles.profile(profile, gpu=cuda.is_available())
        efforts = (how.learned, how.blank, how.hashing)
        lessons = Lessons(
            manifest, kept, datasets, output / "runs", files, *efforts, pretrained, output / HEAT_MAPS, limit
        )
        sources = Sources(weights, files, pretrained, lessons, how.side, how.blank_side, how.keypoints)
        entries = chosen(catalogue(sources), methods)
        for name in needed_downloads(entries, sources):
            # Now, not when its turn comes: without a network, an error after an hour would be late.
            click.echo(f"ImageNet weights of {name}", err=True)
            download_weights(name)
        task = bar.add_task("methods", total=len(entries))

        def said(name: str, place: int, count: int) -> None:
            bar.update(task, completed=place - 1, description=name)
            if not bar.console.is_terminal:
                click.echo(f"{place} of {count}: {name}", err=True)

        asked = Comparison(manifest, kept, datasets, Split(split), how.images, rounds, pairs)
        found = compare(
            asked,
            entries,
            output,
            said,
            lambda images: Encoder.load(weights).as_given(images).gate.suitable,
            limit,
        )
        bar.update(task, completed=len(entries))
    groups = {entry.key: entry.group for entry in entries}
    origin = Origin.here(profile, how.said, split, compared(asked))
    show(write(found, groups, origin, output, beside), console())
    click.echo(f"Comparison: {output / PAGE}")


def _files(backbones: tuple[str, ...]) -> dict[str, Path]:
    found = {}
    for text in backbones:
        name, mark, file = text.partition("=")
        if not mark or not Path(file).is_file():
            raise InputNotUsable(f"--backbone-weights needs NAME=FILE with a file that is there, not {text!r}.")
        found[name] = Path(file)
    return found
