"""`lungprint bench` as its user meets it."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torchvision import models

from cli.main import lungprint
from cli.outcome import ExitCode, InputNotUsable
from retrieval.bench.catalogue import Sources, catalogue, chosen
from retrieval.bench.classical import GlobalHash
from retrieval.bench.field import balanced_pairs
from retrieval.bench.lessons import Effort, HashEffort, Lessons
from retrieval.bench.measure import Gate, Measured, measure, see
from retrieval.bench.method import About
from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import ConfigInvalid, ManifestInvalid, ResultsInvalid, WeightsNotUsable
from retrieval.evaluation.cohort import cohorts
from tests.toys import TRAINED, VALIDATED, toy_manifest


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("toys")
    manifest = toy_manifest(folder)
    return [
        "--data",
        str(manifest),
        "--cache",
        str(folder / "cache"),
        "--split",
        "val",
        "--profile",
        "miniature",
        "--rounds",
        "20",
    ]


def bench(*arguments: object) -> str:
    """Run the command in this process; what it printed."""
    done = CliRunner().invoke(lungprint, ["bench", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == ExitCode.OK
    return done.output


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "comparison.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_method_has_a_row_with_figures_and_costs(data: list[str], tmp_path: Path) -> None:
    weights = tmp_path / "resnet18.safetensors"
    torch.manual_seed(0)
    save_file(models.resnet18(weights=None).state_dict(), weights)
    out = tmp_path / "out"
    said = bench(
        "sift",
        "ahash",
        "resnet18-cosine",
        "resnet50-max",
        "ours",
        *data,
        "--backbone-weights",
        f"resnet18={weights}",
        "-o",
        out,
    )
    found = rows(out)
    assert [row["key"] for row in found] == [
        "ahash",
        "sift",
        "resnet18-cosine",
        "resnet50-max",
        "lungprint",
        "lungprint-calibrated",
    ]
    for row in found:
        assert int(row["images"]) == 2 * VALIDATED
        assert 0 <= float(row["auc"]) <= 1
        assert float(row["ms_per_image"]) > 0 < float(row["us_per_comparison"])
        assert row["name"] in (out / "tables.md").read_text(encoding="utf-8")
        assert 0 < float(row["chance_mean_average_precision"]) < 1
        assert 0 <= float(row["findings_map_low"]) <= float(row["findings_mean_average_precision"]) <= 1
        assert 0 <= float(row["findings_ndcg_at_100"]) <= 1
        assert 0 <= float(row["field_auc"]) <= 1
        assert 0 <= float(row["decision_best_accuracy"]) <= 1
    learned = {row["key"]: row["learned"] for row in found}
    assert (learned["sift"], learned["resnet18-cosine"]) == ("nothing", "ImageNet")
    assert (out / "comparison.png").stat().st_size > 10_000
    page, tables = ((out / name).read_text(encoding="utf-8") for name in ("comparison.md", "tables.md"))
    headings = ("In short", "How far this product is ahead", "What this does not show", "How the papers were read")
    assert [heading for heading in headings if f"## {heading}" not in page] == []
    headings = (
        "The field's protocol",
        "One threshold, from data",
        "Search by findings",
        "Time and memory",
        "P2, table 2: speed: 3,000 x 100 images",
        "P2, table 3: recall and false positives",
        "P5, recall@",
    )
    assert [heading for heading in headings if f"# {heading}" not in tables] == []
    assert "AUC" in said


def test_what_was_measured_on_the_same_images_is_kept_and_what_was_not_is_measured(
    data: list[str], tmp_path: Path
) -> None:
    bench("ahash", *data, "-o", tmp_path)
    kept = tmp_path / "methods" / "ahash.json"
    before = kept.stat().st_mtime_ns
    bench("ahash", "phash", *data, "-o", tmp_path)
    assert kept.stat().st_mtime_ns == before
    assert [row["key"] for row in rows(tmp_path)] == ["ahash", "phash"]
    bench("ahash", *data[:-1], "21", "-o", tmp_path)
    assert kept.stat().st_mtime_ns > before
    kept.write_text("{", encoding="utf-8")
    bench("ahash", *data, "-o", tmp_path)
    assert len(rows(tmp_path)) == 1


def test_backbones_without_weights_are_said_to_know_nothing(data: list[str], tmp_path: Path) -> None:
    bench("resnet18-l1", *data, "-o", tmp_path)
    assert rows(tmp_path)[0]["learned"] == "nothing, random weights"


def test_wrong_names_are_errors_that_list_the_right_ones(data: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"no method phish.*p3.*phash"):
        bench("phish", *data, "-o", tmp_path)
    with pytest.raises(ManifestInvalid, match="'moon'"):
        bench("ahash", *data, "--dataset", "moon", "-o", tmp_path)
    with pytest.raises(InputNotUsable, match="NAME=FILE"):
        bench("p2", *data, "--backbone-weights", "resnet18", "-o", tmp_path)


def test_figures_that_cannot_be_measured_survive_the_file(data: list[str], tmp_path: Path) -> None:
    bench("ahash", *data, "-o", tmp_path)
    raw = json.loads((tmp_path / "methods" / "ahash.json").read_text(encoding="utf-8"))["measured"]
    found = Measured.from_json(raw)
    assert isinstance(found.about, About)
    assert math.isnan(found.figures[0].tpr_at_fpr_1e4)
    assert json.loads(json.dumps(found.to_json())) == raw


def test_siamese_networks_are_trained_and_leave_nothing_behind(data: list[str], tmp_path: Path) -> None:
    keys = ("siamese-resnet18", "verification-resnet18", "p1-resnet50-round2-augmented")
    bench(*keys, *data, "-o", tmp_path)
    found = {row["key"]: row for row in rows(tmp_path)}
    assert list(found) == list(keys)
    assert {row["learned"] for row in found.values()} == {
        f"3 steps of 4 images at 32 pixels on {2 * TRAINED} chests from random weights"
    }
    assert not list((tmp_path / "runs").iterdir())


def test_codes_of_features_that_are_not_learned_are_compared_by_hamming_distance(
    data: list[str], tmp_path: Path
) -> None:
    bench("ssh", "itq", "dh", *data, "-o", tmp_path)
    found = rows(tmp_path)
    assert [row["key"] for row in found] == ["ssh", "itq", "dh"]
    for row in found:
        assert row["learned"] == f"{2 * TRAINED} chests, on features of resnet18 from nothing, random weights"
        assert float(row["bytes_per_image"]) == 8
        assert 0 < float(row["findings_mean_average_precision"]) <= 1


def test_without_known_findings_p4_is_left_out_and_says_why_when_it_is_wanted(tmp_path: Path) -> None:
    manifest = toy_manifest(tmp_path)
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("no_finding", ""), encoding="utf-8")
    siamese, hashing = Effort(1, 64, 2), HashEffort(1, 64, 4, 10, "squeezenet1_1")
    lessons = Lessons(manifest, tmp_path, (), tmp_path, {}, siamese, siamese, hashing)
    entries = catalogue(Sources("default", {}, lessons=lessons))
    assert "itq" in {entry.key for entry in entries}
    assert {entry.group for entry in chosen(entries, [])} == {"p1", "p2", "p3", "p5", "ours"}
    with pytest.raises(ConfigInvalid, match=r"ssh cannot take part\. No findings can be learned"):
        chosen(entries, ["p4"])


def test_a_gate_that_lets_nothing_through_is_an_error_that_says_so(data: list[str], tmp_path: Path) -> None:
    """The toys are no chests."""
    with pytest.raises(ManifestInvalid, match="lets no image of toy through"):
        bench("siamese-resnet18-gated", *data, "-o", tmp_path)


def test_a_gated_method_is_measured_on_what_passes() -> None:
    images = np.random.default_rng(0).integers(0, 255, (8, 64, 64)).astype(np.uint8)
    listed = [ImageRow(Path(), str(i), "toy", f"toy:{i // 2}", Split.TEST, "", "PA") for i in range(8)]
    method, gate = GlobalHash("aHash"), Gate(np.arange(8) < 6, 1000.0)
    found = measure(method, see(method, images), cohorts(listed), balanced_pairs(listed), 20, gate)
    assert (found.about.name, found.figures[0].images, found.figures[0].patients) == ("aHash, gated", 6, 3)
    assert found.costs.ms_per_image > 1000
    assert found.field is not None
    assert found.field.pairs.same_pairs == 3


def test_without_a_network_pretrained_weights_are_an_error_that_says_what_to_do(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(WeightsNotUsable, match=r"resnet18 cannot be downloaded .* without pretrained") as raised:
        bench("ahash", "resnet18-cosine", "--pretrained", *data, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    url = models.ResNet18_Weights.DEFAULT.url
    assert f"download {url} elsewhere and put it into {tmp_path}/hub/checkpoints" in str(raised.value)


@pytest.fixture
def as_torchvision_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of ResNet-18 in a file that is named as torchvision names its own, by what is in it; an empty cache."""
    torch.manual_seed(7)
    drawn = tmp_path / "drawn.pth"
    torch.save(models.resnet18(weights=None).state_dict(), drawn)
    mark = hashlib.sha256(drawn.read_bytes()).hexdigest()[:8]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return drawn.rename(tmp_path / f"resnet18-{mark}.pth")


@pytest.fixture
def server(as_torchvision_has_them: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """torchvision's server, as far as its ResNet-18 is concerned: a real one on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=str(as_torchvision_has_them.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{serving.server_port}/"
        weights = models.ResNet18_Weights.DEFAULT.value
        monkeypatch.setattr(weights, "url", address + as_torchvision_has_them.name)
        yield address
        serving.shutdown()
        thread.join()


def test_pretrained_weights_are_downloaded_once_and_used(
    data: list[str], tmp_path: Path, as_torchvision_has_them: Path, server: str
) -> None:
    file = tmp_path / "same.safetensors"
    save_file(torch.load(as_torchvision_has_them, weights_only=True), file)
    bench("resnet18-cosine", "--backbone-weights", f"resnet18={file}", *data, "-o", tmp_path / "file")
    bench("resnet18-cosine", *data, "-o", tmp_path / "random")
    bench("resnet18-cosine", "--pretrained", *data, "-o", tmp_path / "downloaded")
    kept = tmp_path / "home" / "hub" / "checkpoints" / as_torchvision_has_them.name
    assert kept.read_bytes() == as_torchvision_has_them.read_bytes()
    as_torchvision_has_them.unlink()  # the server has it no more; torch's cache has
    keys = ("siamese-resnet18", "resnet18-l1", "resnet18-cosine")
    bench(*keys, "--pretrained", *data, "-o", tmp_path / "cached")
    learned = {row["key"]: row["learned"] for row in rows(tmp_path / "cached")}
    assert set(learned) == set(keys)
    assert (learned["resnet18-l1"], learned["siamese-resnet18"].rpartition(" from ")[2]) == ("ImageNet", "ImageNet")
    of_file, of_random, downloaded, cached = (
        next(row["decision_same_mean"] for row in rows(tmp_path / name) if row["key"] == "resnet18-cosine")
        for name in ("file", "random", "downloaded", "cached")
    )
    assert of_file == downloaded == cached != of_random


def test_a_download_that_is_damaged_or_not_there_is_an_error(
    data: list[str], tmp_path: Path, as_torchvision_has_them: Path, server: str
) -> None:
    as_torchvision_has_them.write_bytes(b"cut")
    with pytest.raises(WeightsNotUsable, match="invalid hash value"):
        bench("resnet18-cosine", "--pretrained", *data, "-o", tmp_path / "out")
    as_torchvision_has_them.unlink()
    with pytest.raises(WeightsNotUsable, match="404"):
        bench("resnet18-cosine", "--pretrained", *data, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_whose_time_is_up_are_measured_as_they_are_and_go_on_in_the_next_run(
    data: list[str], tmp_path: Path
) -> None:
    keys = ("p1-resnet50-m0.5", "attention-hash-16")
    bench(*keys, "--hours", 0, *data, "-o", tmp_path / "out")
    learned = {row["key"]: row["learned"] for row in rows(tmp_path / "out")}
    assert list(learned) == list(keys)
    assert all(words.startswith("1 of 3 steps of 4 images") for words in learned.values())
    assert "1 of 3 steps” means that the time" in (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert len(list((tmp_path / "out" / "runs").iterdir())) == len(keys)
    bench(*keys, *data, "-o", tmp_path / "out")
    assert all(row["learned"].startswith("3 steps of 4 images") for row in rows(tmp_path / "out"))
    assert not list((tmp_path / "out" / "runs").iterdir())


def test_this_product_alone_is_measured_anew_beside_an_earlier_comparison(data: list[str], tmp_path: Path) -> None:
    earlier, out = tmp_path / "earlier", tmp_path / "out"
    bench("ahash", "ours", "resnet18-cosine", *data, "-o", earlier)
    with (earlier / "comparison.csv").open(encoding="utf-8") as stream:
        said = stream.read()
    (earlier / "comparison.csv").write_text(said.replace("Lungprint, embedding", "older weights"), encoding="utf-8")
    bench("ours", "--beside", earlier, *data, "-o", out)
    names = [row["name"] for row in rows(out)]
    assert names == ["aHash", "frozen resnet18, cosine", "Lungprint, embedding", "Lungprint, calibrated"]
    kept = {row["key"]: row for row in rows(earlier)}
    assert {row["key"] for row in rows(out) if row == kept[row["key"]]} >= {"ahash", "resnet18-cosine"}
    assert sorted(path.stem for path in (out / "methods").iterdir()) == ["lungprint", "lungprint-calibrated"]
    assert "P2, table 3" in (out / "tables.md").read_text(encoding="utf-8")
    with pytest.raises(ResultsInvalid, match="is of other images, pairs or draws"):
        bench("ours", "--beside", earlier, *data[:-1], "21", "-o", out)


def test_a_published_list_of_pairs_is_taken_as_it_is(data: list[str], tmp_path: Path) -> None:
    names = [f"{person}-{picture}.png" for person in range(TRAINED, TRAINED + VALIDATED) for picture in (0, 1)]
    same = [f"{names[2 * i]}\t{names[2 * i + 1]}\t1.0" for i in range(VALIDATED)]
    two = [f"{names[2 * i]}\t{names[2 * i - 1]}\t0.0" for i in range(1, 4)]
    listed = tmp_path / "pairs_testing.txt"
    listed.write_text("\n".join([*same, *two]) + "\n", encoding="utf-8")
    bench("ahash", *data, "--pairs", listed, "-o", tmp_path / "out")
    (row,) = rows(tmp_path / "out")
    assert (int(row["field_same_pairs"]), int(row["field_different_pairs"])) == (VALIDATED, 3)
    assert float(row["field_auc"]) == 1
