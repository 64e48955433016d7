"""`lungprint compare`: whether two images show one person, and what speaks for and against it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from rich.table import Table

from cli.encoding import encode_file, load_encoder
from cli.outcome import EXIT_CODES, ExitCode
from cli.output import console, print_json
from cli.sources import Source, is_dicom
from cli.system import data_dir_option, json_option
from config.paths import data_dir as folder_at
from config.settings import load_settings

COMPARED = {
    "patient_id": "PatientID",
    "issuer": "IssuerOfPatientID",
    "name": "PatientName",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "study": "StudyInstanceUID",
}


@dataclass(frozen=True)
class Comparison:
    """What a comparison of two images gave.

    Attributes:
        probability: that both show one person, if one in two such pairs does, in [0, 1].
        likelihood_ratio: how many times likelier this similarity is between images of one person than of two.
        cosine: of the embeddings, in [-1, 1].
        hamming: differing bits of the identity half of the codes, of `bits`.
        unsuitable: for each image why it must not be compared, empty when it may.
        righting: for each image what was done to it before, as it is stored turned or inverted; empty for others.
        headers: for each attribute of two DICOM files "same", "different" or "missing"; never the value.
    """

    probability: float
    likelihood_ratio: float
    cosine: float
    hamming: int
    bits: int
    unsuitable: tuple[str, str]
    righting: tuple[str, str]
    headers: dict[str, str]
    model_id: str


@click.command(epilog=EXIT_CODES)
@click.argument("a", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("b", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_dir_option
@json_option
@click.pass_context
def command(ctx: click.Context, /, a: Path, b: Path, data_dir: Path, as_json: bool) -> None:
    """Compare the images A and B (DICOM, JPEG or PNG): the probability that both show one person, and why.

    The probability is for even odds: it answers "one person or two?" when either is as likely beforehand. Exit code 1
    means that an image is no frontal chest image or carries too little information, so that the answer means nothing.

    \b
    Examples:
      lungprint compare monday.dcm tuesday.dcm
      lungprint compare a.jpg b.jpg --json
    """
    found = compare(a, b, data_dir)
    if as_json:
        print_json(asdict(found))
    else:
        _show(found)
    ctx.exit(ExitCode.NOTHING if any(found.unsuitable) else ExitCode.OK)


def compare(a: Path, b: Path, data_dir: Path) -> Comparison:
    """Encode two images and hold them against each other, with the network of the system in `data_dir`.

    Raises:
        InputNotUsable: an image cannot be read.
        WeightsNotUsable, CalibrationInvalid: the option encoder.weights names no usable network.
    """
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from workers.index_owner import network_at_work

    settings = load_settings(folder_at(data_dir).root)
    encoder = load_encoder(settings)
    comparer = network_at_work(settings).comparer
    first, second = (encode_file(Source(str(path), path), encoder, settings) for path in (a, b))
    found = comparer.compare(first.embedding, first.code, second.embedding[None], second.code[None])
    return Comparison(
        probability=float(found.probability[0]),
        likelihood_ratio=float(np.exp(found.log_ratio[0])),
        cosine=float(found.cosine[0]),
        hamming=int(found.hamming[0]),
        bits=comparer.calibration.identity_bits,
        unsuitable=(first.unsuitable, second.unsuitable),
        righting=(first.righting, second.righting),
        headers=_headers(a, b),
        model_id=encoder.model_id,
    )


def _headers(a: Path, b: Path) -> dict[str, str]:
    if not (is_dicom(a) and is_dicom(b)):
        return {}
    one, other = _identity(a), _identity(b)
    return {name: _agreement(one[name], other[name]) for name in COMPARED}


def _identity(path: Path) -> dict[str, str]:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(COMPARED.values()))
        return {name: str(header.get(keyword) or "").strip() for name, keyword in COMPARED.items()}
    except (InvalidDicomError, OSError, ValueError):
        # The pixels were read, so what is broken here is the header alone.
        return dict.fromkeys(COMPARED, "")


def _agreement(one: str, other: str) -> str:
    if not (one and other):
        return "missing"
    return "same" if one == other else "different"


def _show(found: Comparison) -> None:
    out = console()
    who = "one person" if found.probability >= 0.5 else "two persons"
    certainty = max(found.probability, 1 - found.probability)
    out.print(f"[bold]{who}[/], with a probability of {certainty:.1%}" + (" - but see below" * any(found.unsuitable)))
    ratio = found.likelihood_ratio
    likelier = f"{ratio:.3g} times likelier for one" if ratio >= 1 else f"{1 / ratio:.3g} times likelier for two"
    table = Table(box=None, pad_edge=False, show_header=False)
    rows: list[tuple[str, Any]] = [
        ("this similarity is", likelier),
        ("cosine similarity", f"{found.cosine:.3f}"),
        ("differing bits", f"{found.hamming} of {found.bits} (Hamming distance, identity half)"),
        *(
            (f"image {letter}", f"not suitable: {why}")
            for letter, why in zip("AB", found.unsuitable, strict=True)
            if why
        ),
        *(
            (f"image {letter}", f"{done} before it was compared, as it is not stored the right way")
            for letter, done in zip("AB", found.righting, strict=True)
            if done
        ),
        *((f"header: {name.replace('_', ' ')}", agreement) for name, agreement in found.headers.items()),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    out.print(table)
