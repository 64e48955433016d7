"""Images a second that the network encodes, by batch size and threads, beside other runtimes and other networks.

Run it with `python -m benchmarks.encode`; the extra `bench` installs the other runtimes. The contestants take turns in
each round, so a machine that is slower for a while is slower for all. Whatever changes the arithmetic is held against
float32: least and mean cosine of the embeddings, and AUC and P@1 of validation patients.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks import runtimes
from benchmarks.record import Row, append_rows
from benchmarks.runtimes import Embed, Images
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import Split, read_manifest
from retrieval.evaluation.pairs import fair_pairs, numbered
from retrieval.evaluation.search import search
from retrieval.weights import load_weights

SHARED = Path(__file__).parents[2] / "shared" / "data"
OURS = "lungprint"
REFERENCE = "lungprint, fp32"
BUSY = 0.3
_CHUNK = 16

Contestants = dict[str, Callable[[int], Embed]]


@dataclass(frozen=True)
class Recognition:
    """Embeddings of one way to run the network: cosine to those of float32, AUC and P@1 of validation patients."""

    least_cosine: float
    mean_cosine: float
    auc: float
    precision_at_1: float


@dataclass(frozen=True)
class Validation:
    """Prepared images uint8 (n, h, w) of validation patients, with numbers (n,) of patients and views."""

    images: Images
    patients: npt.NDArray[np.int64]
    views: npt.NDArray[np.int64]


@click.command()
@click.option("--weights", default="default", show_default=True, help="Name or file of the network.")
@click.option("--batch", "batches", multiple=True, type=int, default=(1, 4, 16, 32), show_default=True)
@click.option("--threads", multiple=True, type=int, help="CPU threads; may be repeated.  [default: 1 and all cores]")
@click.option("--rounds", default=5, show_default=True, help="Rounds; each contestant runs once in each.")
@click.option("--compile/--no-compile", "with_compile", default=False, show_default=True, help="torch.compile as well.")
@click.option("--most", default=300, show_default=True, help="Validation images to recognise.")
@click.option("--data", default=SHARED, show_default="../shared/data", type=click.Path(path_type=Path, exists=True))
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/encode.csv.")
def main(
    weights: str,
    batches: tuple[int, ...],
    threads: tuple[int, ...],
    rounds: int,
    with_compile: bool,
    most: int,
    data: Path,
    record: bool,
) -> None:
    """Compare ways to run the network: speed, and what each does to recognition."""
    if os.getloadavg()[0] > BUSY * (os.cpu_count() or 1):
        Console().print(f"[yellow]The machine is busy (load {os.getloadavg()[0]:.1f}): trust the ratios only.")
    counts = threads or tuple(sorted({1, os.cpu_count() or 1}))
    with tempfile.TemporaryDirectory(prefix="lungprint-encode-") as scratch:
        known, yardsticks = _contestants(weights, Path(scratch), with_compile)
        validation = _validation(data, Path(scratch), most)
        recognition = _recognise(known, validation)
        rates = {
            (count, batch): _rates({**known, **yardsticks}, count, validation.images, batch, rounds)
            for count in counts
            for batch in batches
        }
    _show(rates, recognition)
    if record:
        Console().print(f"appended to {append_rows('encode', _rows(rates, recognition, rounds))}")


def _contestants(weights: str, scratch: Path, with_compile: bool) -> tuple[Contestants, Contestants]:
    """Ways to run the network, and other networks; each is built for a number of threads."""
    loaded = load_weights(weights)
    size = loaded.card.input_size
    known: Contestants = {
        REFERENCE: lambda _: runtimes.shipped(weights, "fp32"),
        OURS: lambda _: runtimes.shipped(weights, "auto"),
        "PyTorch bf16, not folded": lambda _: runtimes.unfolded(weights),
    }
    if with_compile:
        known["torch.compile bf16"] = lambda _: runtimes.compiled(weights)
    if find_spec("onnxruntime") and find_spec("openvino") and find_spec("onnxscript"):
        file = runtimes.export_onnx(loaded, scratch / "network.onnx")
        known["ONNX Runtime fp32"] = partial(runtimes.onnx_runtime, file)
        for precision in ("f32", "bf16"):
            known[f"OpenVINO {precision}"] = partial(runtimes.openvino, file, precision=precision)
    else:
        missing = 'OpenVINO and ONNX Runtime are left out; install them with pip install "lungprint[bench]".'
        Console().print(missing, markup=False)
    if torch.cuda.is_available():
        known["lungprint on CUDA"] = lambda _: runtimes.shipped(weights, "auto", "cuda")
        known["PyTorch on CUDA, no graph"] = lambda _: runtimes.plain_cuda(weights)
    else:
        Console().print("No CUDA device: the recorded graph is not measured.")
    yardsticks: Contestants = {
        f"{name} {'bf16' if half else 'fp32'}": partial(_yardstick, name, size, half)
        for name in ("resnet18", "resnet50")
        for half in (False, True)
    }
    return known, yardsticks


def _yardstick(name: str, size: int, half: bool, _: int) -> Embed:
    return runtimes.yardstick(name, size, half)


def _validation(data: Path, cache: Path, most: int) -> Validation:
    rows = [row for row in read_manifest(data / "manifest.csv") if row.split is Split.VAL]
    patients = numbered([row.patient for row in rows])
    several = np.bincount(patients)[patients] > 1
    chosen = [row for row, kept in zip(rows, several, strict=True) if kept or row.dataset != "kermany"][:most]
    images = np.array(prepared_images(chosen, cache, quiet=True))
    return Validation(images, numbered([row.patient for row in chosen]), numbered([row.view for row in chosen]))


def _recognise(known: Contestants, validation: Validation) -> dict[str, Recognition]:
    found = {}
    expected: npt.NDArray[np.float32] | None = None
    first, second = fair_pairs(validation.patients, validation.views)
    same = validation.patients[first] == validation.patients[second]
    with Progress() as progress:
        for name in progress.track(known, description="recognising"):
            embed = known[name](os.cpu_count() or 1)
            images = validation.images
            embedding = np.concatenate([embed(images[i : i + _CHUNK]) for i in range(0, len(images), _CHUNK)])
            expected = embedding if expected is None else expected
            cosine = (embedding * expected).sum(axis=1)
            similarity = embedding @ embedding.T
            found[name] = Recognition(
                float(cosine.min()),
                float(cosine.mean()),
                float(roc_auc_score(same, similarity[first, second])),
                search(similarity, validation.patients).precision_at_1,
            )
    return found


def _rates(contestants: Contestants, threads: int, images: Images, batch: int, rounds: int) -> dict[str, list[float]]:
    """Images a second of each contestant in each round, after one batch that is not counted."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    chosen = np.ascontiguousarray(images[np.arange(batch) % len(images)])
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    with Progress() as progress:
        built = {name: build(threads) for name, build in contestants.items()}
        for embed in built.values():
            embed(chosen)
        for _ in progress.track(range(rounds), description=f"{threads} threads, batches of {batch}"):
            for name, embed in built.items():
                passes, begin = 0, time.perf_counter()
                while passes == 0 or time.perf_counter() - begin < 0.3:
                    embed(chosen)
                    passes += 1
                rates[name].append(passes * batch / (time.perf_counter() - begin))
    torch.set_num_threads(before)
    return rates


def _ratio(rates: dict[str, list[float]], name: str, reference: str) -> float:
    """Median over the rounds of how many times faster `name` is."""
    return statistics.median(a / b for a, b in zip(rates[name], rates[reference], strict=True))


def _show(rates: dict[tuple[int, int], dict[str, list[float]]], recognition: dict[str, Recognition]) -> None:
    table = Table(title=f"Images a second (median), and how many times the speed of {OURS}; recognition on validation")
    table.add_column("")
    for threads, batch in rates:
        table.add_column(f"{threads} thr, {batch}", justify="right")
    for column in ("least cosine", "mean", "AUC", "P@1"):
        table.add_column(column, justify="right")
    for name in next(iter(rates.values())):
        cells = [f"{statistics.median(r[name]):.1f} {_ratio(r, name, OURS):.2f}x" for r in rates.values()]
        known = recognition.get(name)
        if known is not None:
            figures = (known.least_cosine, known.mean_cosine, known.auc, known.precision_at_1)
            cells += [f"{figure:.4f}" for figure in figures]
        table.add_row(name, *cells)
    Console(width=60 + 15 * len(rates)).print(table)


def _rows(
    rates: dict[tuple[int, int], dict[str, list[float]]], recognition: dict[str, Recognition], rounds: int
) -> list[Row]:
    rows = []
    for (threads, batch), measured in rates.items():
        conditions = f"batches of {batch}, {threads} threads, {rounds} rounds, load {os.getloadavg()[0]:.1f}"
        for name in measured:
            rows.append(Row("encode", f"{name} rate", statistics.median(measured[name]), "images/s", conditions))
            if name != OURS:
                rows.append(Row("encode", f"{OURS} / {name}", _ratio(measured, OURS, name), "ratio", conditions))
    for name, known in recognition.items():
        for measure, value in (
            ("least cosine to fp32", known.least_cosine),
            ("mean cosine to fp32", known.mean_cosine),
            ("AUC", known.auc),
            ("P@1", known.precision_at_1),
        ):
            rows.append(Row("encode", f"{name}, {measure}", value, "", "validation patients, every pair one vote"))
    return rows


if __name__ == "__main__":
    main()
