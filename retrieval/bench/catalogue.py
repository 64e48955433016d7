"""Which methods there are, in the order of the tables, and how each is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from retrieval.bench.classical import classical_methods
from retrieval.bench.frozen import FrozenBackbone, FrozenFeatures, MaxPooledFeatures
from retrieval.bench.hashing.labels import learnable_findings
from retrieval.bench.hashing.methods import FeatureHash, FeatureLessons
from retrieval.bench.hashing.networks import TrainedHash
from retrieval.bench.hashing.recipes import FEATURE_HASHES, trained_recipes
from retrieval.bench.measures import MEASURES
from retrieval.bench.method import ImageMethod
from retrieval.bench.ours import OurEmbedding, OurVerdict
from retrieval.bench.recipes import p1_recipes, p3_recipes
from retrieval.bench.trained import Lessons, TrainedMethod
from retrieval.encoder import Encoder
from retrieval.errors import ConfigInvalid, ManifestInvalid
from retrieval.weights import find_weights, model_id_of

P2_BACKBONES = ("resnet18", "resnet50", "resnet152")
_P2_MEASURED = "resnet18"
_P5_BACKBONE = "resnet50"


@dataclass(frozen=True)
class Entry:
    """A method that is made when its turn comes: networks of methods that wait need no memory.

    Attributes:
        key: one word. name: for the progress bar. group: `p1` to `p5` or `ours`.
        made_from: weights and effort, as a text; figures of another one are not this method's.
        gated: compare only the images that the gate lets through.
        missing: what the method lacks here, as a sentence; it takes part only where it is wanted by name, which is an
            error then.
    """

    key: str
    name: str
    group: str
    make: Callable[[], ImageMethod[Any]]
    made_from: str = ""
    gated: bool = False
    missing: str = ""


@dataclass(frozen=True)
class Sources:
    """Where weights come from.

    Attributes:
        weights: name or path of this product's.
        backbones: files of torchvision state dicts (safetensors), by torchvision's name.
        pretrained: let torchvision download ImageNet weights of the others.
        lessons: what trained methods learn from; they are left out if None.
    """

    weights: str
    backbones: Mapping[str, Path]
    pretrained: bool = False
    lessons: Lessons | None = None


def catalogue(sources: Sources) -> list[Entry]:
    """Every method."""
    entries = [_classical(method) for method in classical_methods()]
    if sources.lessons is not None:
        entries += _trained(sources, sources.lessons)
    for name in (*P2_BACKBONES, *sorted(set(sources.backbones) - set(P2_BACKBONES))):
        for measure in MEASURES if name == _P2_MEASURED else ("cosine",):
            make = partial(_frozen, sources, name, measure)
            entries.append(
                Entry(f"{name}-{measure.lower()}", f"frozen {name}, {measure}", "p2", make, _origin(sources, name))
            )
    if sources.lessons is not None:
        entries += _hashing(sources, sources.lessons)
    make_max = partial(_max_pooled, sources, _P5_BACKBONE)
    entries.append(
        Entry(
            f"{_P5_BACKBONE}-max",
            f"frozen {_P5_BACKBONE}, max-pooled",
            "p5",
            make_max,
            _origin(sources, _P5_BACKBONE),
        )
    )
    model_id = model_id_of(find_weights(sources.weights))
    encoder = cache(lambda: Encoder.load(sources.weights))
    entries.append(Entry("lungprint", "Lungprint, embedding", "ours", lambda: OurEmbedding(encoder()), model_id))
    calibrated = Entry(
        "lungprint-calibrated",
        "Lungprint, calibrated",
        "ours",
        lambda: OurVerdict(encoder(), sources.weights),
        model_id,
    )
    return [*entries, calibrated]


def chosen(entries: Sequence[Entry], wanted: Sequence[str]) -> list[Entry]:
    """Those whose key or group is wanted, in the order of the tables; all that lack nothing if nothing is.

    Raises:
        ConfigInvalid: a word is neither, the known ones are listed; or a wanted method lacks something.
    """
    known = {entry.key for entry in entries} | {entry.group for entry in entries}
    unknown = [word for word in wanted if word not in known]
    if unknown:
        groups = ", ".join(sorted({entry.group for entry in entries}))
        keys = ", ".join(entry.key for entry in entries)
        raise ConfigInvalid(f"There is no method {', '.join(unknown)}. Groups: {groups}. Methods: {keys}.")
    if not wanted:
        return [entry for entry in entries if not entry.missing]
    found = [entry for entry in entries if entry.key in wanted or entry.group in wanted]
    for entry in found:
        if entry.missing:
            raise ConfigInvalid(f"The method {entry.key} cannot take part. {entry.missing}")
    return found


def _origin(sources: Sources, backbone: str) -> str:
    """Which weights a backbone starts from, as a text that changes with them."""
    file = sources.backbones.get(backbone)
    return model_id_of(file) if file is not None else "downloaded" if sources.pretrained else "random"


def _classical(method: ImageMethod[Any]) -> Entry:
    return Entry(method.about.key, method.about.name, "p3", lambda: method)


def _trained(sources: Sources, lessons: Lessons) -> list[Entry]:
    entries = []
    for recipe in p3_recipes():
        made_from = f"{lessons.effort} {_origin(sources, recipe.backbone)}"
        # Trained once for the two rows that follow each other.
        make = cache(partial(TrainedMethod, recipe, lessons))
        entries.append(Entry(recipe.key, recipe.name, "p3", make, made_from))
        entries.append(Entry(f"{recipe.key}-gated", f"{recipe.name}, gated", "p3", make, made_from, gated=True))
    for recipe in p1_recipes():
        made_from = f"{lessons.effort} {_origin(sources, recipe.backbone)}"
        entries.append(Entry(recipe.key, recipe.name, "p1", partial(TrainedMethod, recipe, lessons), made_from))
    return entries


def _hashing(sources: Sources, lessons: Lessons) -> list[Entry]:
    effort = lessons.hashing
    name, missing = effort.backbone, ""
    try:
        learnable_findings(lessons.manifest, lessons.datasets)
    except ManifestInvalid as error:
        missing = str(error)
    backbone = partial(FrozenBackbone, name, sources.backbones.get(name), sources.pretrained, effort.size)
    features = FeatureLessons(backbone, lessons.manifest, lessons.cache, lessons.datasets, effort.images)
    made_from = f"{effort} {_origin(sources, name)}"
    on_features = [
        Entry(key, about.name, "p4", partial(FeatureHash, about, features, learn), made_from, missing=missing)
        for key, (about, learn) in FEATURE_HASHES.items()
    ]
    trained = [
        Entry(recipe.key, recipe.name, "p4", partial(TrainedHash, recipe, lessons), made_from, missing=missing)
        for recipe in trained_recipes()
    ]
    return on_features + trained


def _frozen(sources: Sources, name: str, measure: str) -> ImageMethod[Any]:
    return FrozenFeatures(_backbone(sources, name), measure)


def _max_pooled(sources: Sources, name: str) -> ImageMethod[Any]:
    return MaxPooledFeatures(_backbone(sources, name))


def _backbone(sources: Sources, name: str) -> FrozenBackbone:
    return FrozenBackbone(name, sources.backbones.get(name), sources.pretrained)
