"""`lungprint encode`: turn images into embeddings and hash codes, for evaluation or for other programs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from cli.encoding import Encoded, encode_files, load_encoder
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import print_json, progress_bar
from cli.sources import find_sources
from cli.system import data_dir_option, json_option
from config.paths import data_dir as folder_at
from config.settings import load_settings


@click.command(epilog=EXIT_CODES)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where to write.")
@data_dir_option
@json_option
@click.pass_context
def command(ctx: click.Context, path: Path, output: Path, data_dir: Path, as_json: bool) -> None:
    """Encode PATH, an image, a folder or a manifest.csv, into a NumPy file of arrays.

    A manifest needs a column `file`, relative to its own folder. The result (read it with `numpy.load`) holds, for n
    images in the order found:

    \b
      file       str (n,)             the name, as in the manifest
      embedding  float32 (n, d)       each of length 1; the dot product is the cosine similarity
      code       uint8 (n, bits / 8)  packed bits; the first half stands for the person
      suitable   bool (n,)            false for lateral views, other body parts, too little information
      reason     str (n,)             why an image is not suitable, else empty
      righting   str (n,)             what was done before to an image that is stored turned or inverted, else empty
      unreadable str (m,)             files that could not be read; they are in none of the arrays above
      model_id   str                  digest of the network; codes of two networks cannot be compared

    No running system is needed; the option encoder.weights of the system in --data-dir selects the network.

    \b
    Examples:
      lungprint encode xrays/manifest.csv -o codes.npz
      lungprint encode study/ -o codes.npz --json
    """
    settings = load_settings(folder_at(data_dir).root)
    sources = find_sources(path)
    encoder = load_encoder(settings)
    encoded: list[Encoded] = []
    unreadable: list[str] = []
    with progress_bar() as bar:
        task = bar.add_task("encoding", total=len(sources))
        for batch in encode_files(sources, encoder, settings):
            for source, outcome in zip(sources[len(encoded) + len(unreadable) :], batch, strict=False):
                if isinstance(outcome, InputNotUsable):
                    bar.console.print(f"lungprint: {outcome}", markup=False, soft_wrap=True)
                    unreadable.append(source.name)
                else:
                    encoded.append(outcome)
            bar.advance(task, len(batch))
    if not encoded:
        raise InputNotUsable(f"None of the images in {path} could be read.")
    suitable = np.array([not image.unsuitable for image in encoded])
    _save(
        output,
        {
            "file": np.array([image.source.name for image in encoded]),
            "embedding": np.stack([image.embedding for image in encoded]),
            "code": np.stack([image.code for image in encoded]),
            "suitable": suitable,
            "reason": np.array([image.unsuitable for image in encoded]),
            "righting": np.array([image.righting for image in encoded]),
            "unreadable": np.array(unreadable, dtype=str),
            "model_id": np.array(encoder.model_id),
        },
    )
    summary = {
        "output": str(output),
        "images": len(encoded),
        "suitable": int(suitable.sum()),
        "unreadable": len(unreadable),
        "model_id": encoder.model_id,
    }
    if as_json:
        print_json(summary)
    else:
        click.echo("{images} images encoded ({suitable} suitable), {unreadable} unreadable: {output}".format(**summary))
    ctx.exit(ExitCode.NOTHING if unreadable else ExitCode.OK)


def _save(output: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write arrays as `numpy.savez` does, which cannot be asked for an array called `file`, its own first argument."""
    try:
        with zipfile.ZipFile(output, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
    except OSError as error:
        raise InputNotUsable(f"{output} cannot be written: {error.strerror}.") from error
