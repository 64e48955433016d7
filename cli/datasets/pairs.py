"""`lungprint dataset pairs`: write the pairs that training compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import click
import numpy as np
import numpy.typing as npt

from cli.outcome import EXIT_CODES, InputNotUsable
from cli.output import print_json, progress_bar
from cli.system import json_option
from retrieval.data.cache import prepared_images
from retrieval.data.hard_negatives import AlikeOnPaper, AlikeToNetwork, HardNegatives
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.pair_list import make_pairs, write_pairs
from retrieval.data.trusted import trusted

_CHUNK = 64


@click.command(epilog=EXIT_CODES)
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where to write.")
@click.option(
    "--split",
    type=click.Choice([split.value for split in Split]),
    default=Split.TRAIN.value,
    show_default=True,
    help="Whose patients are paired.",
)
@click.option("--dataset", "datasets", multiple=True, help="Only images of this data set; may be given several times.")
@click.option("--seed", default=0, show_default=True, help="Another seed draws other negatives.")
@click.option(
    "--most-partners",
    type=click.IntRange(min=1),
    help="Pair an image with at most so many others of its patient; by default with all.",
)
@click.option(
    "--hard-from",
    metavar="FILE|WEIGHTS",
    help="Hard negatives are those nearest to a network: weights, or its embeddings as .npz or .npy.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("cache"),
    show_default=True,
    help="Folder for prepared images, needed with weights.",
)
@json_option
def pairs(
    manifest: Path,
    output: Path,
    split: str,
    datasets: tuple[str, ...],
    seed: int,
    most_partners: int | None,
    hard_from: str | None,
    cache: Path,
    as_json: bool,
) -> None:
    """Write a list of image pairs from MANIFEST, half of one patient, half of two.

    For every image and every other image of its patient there is one such pair and one with another patient. Half of
    the latter are hard: of the same data set, view and sex, and within three years of age, as far as these are known.
    A network that is trained already can choose them instead (--hard-from): the images it takes for the same person
    most easily. The same manifest and seed give the same file. Patients of public sets are left out who are known to be
    another one, too, or whose number cannot be taken for one person.

    \b
    Columns of the result:
      file_a, file_b  as in the manifest
      same            1 for one patient, 0 for two
      hard            1 for a negative that was chosen because it is hard

    \b
    --hard-from takes
      weights         the name of shipped weights, or a file of your own
      .npz            what `lungprint encode MANIFEST` wrote
      .npy            float32, one row for each image of the manifest, in its order

    \b
    Examples:
      lungprint dataset pairs sets/nih/manifest.csv -o pairs.csv
      lungprint dataset pairs sets/nih/manifest.csv -o round1.csv --hard-from runs/first/weights.safetensors
    """
    listed = read_manifest(manifest)
    kept = set(trusted(listed))
    chosen = [
        i
        for i, row in enumerate(listed)
        if row in kept and row.split.value == split and (not datasets or row.dataset in datasets)
    ]
    rows = [listed[i] for i in chosen]
    hard: HardNegatives = AlikeOnPaper(rows)
    if hard_from is not None:
        hard = AlikeToNetwork(rows, _embeddings(hard_from, listed, chosen, cache))
    made = make_pairs(rows, hard, seed, most_partners)
    write_pairs(output, rows, made)
    counts = {"output": str(output), "pairs": len(made), "same": int(made.same.sum()), "hard": int(made.hard.sum())}
    if as_json:
        print_json(counts)
    else:
        click.echo("{pairs} pairs, {same} of one patient, {hard} hard ones of two: {output}".format(**counts))


def _embeddings(named: str, listed: Sequence[ImageRow], chosen: Sequence[int], cache: Path) -> npt.NDArray[np.float32]:
    """Embeddings float32 (n, d) of the chosen images: from a file, or by the network of that name."""
    path = Path(named)
    if path.suffix not in (".npy", ".npz"):
        return _encoded(named, [listed[i] for i in chosen], cache)
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if path.suffix == ".npz":
                place = {str(name): number for number, name in enumerate(stored["file"])}
                return np.asarray(stored["embedding"][[place[listed[i].file] for i in chosen]], dtype=np.float32)
        if len(stored) != len(listed):
            raise InputNotUsable(f"{path} holds {len(stored)} embeddings, the manifest {len(listed)} images.")
        return np.asarray(stored[list(chosen)], dtype=np.float32)
    except (OSError, ValueError, BadZipFile) as error:
        raise InputNotUsable(f"{path} cannot be read as arrays of embeddings.") from error
    except KeyError as error:
        raise InputNotUsable(
            f"{path} lacks {error.args[0]!r}; make it with `lungprint encode` of this manifest."
        ) from error


def _encoded(weights: str, rows: Sequence[ImageRow], cache: Path) -> npt.NDArray[np.float32]:
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from retrieval.encoder import Encoder

    encoder = Encoder.load(weights)
    images = prepared_images(rows, cache)
    with progress_bar() as bar:
        parts = bar.track(range(0, len(images), _CHUNK), description="encoding")
        return np.concatenate([encoder.encode(images[i : i + _CHUNK]).embedding for i in parts])
