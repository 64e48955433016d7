"""Which methods there are, in the order of the tables, and how each is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from retrieval.bench.classical import MOST_KEYPOINTS, classical_methods
from retrieval.bench.frozen import SIDE, FrozenBackbone, FrozenFeatures, MaxPooledFeatures
from retrieval.bench.hashing.labels import learnable_findings
from retrieval.bench.hashing.methods import FeatureHash, FeatureLessons
from retrieval.bench.hashing.networks import TrainedHash
from retrieval.bench.hashing.recipes import FEATURE_HASHES, trained_recipes
from retrieval.bench.lessons import HashEffort, Lessons
from retrieval.bench.measures import MEASURES
from retrieval.bench.method import ImageMethod
from retrieval.bench.ours import OurEmbedding, OurVerdict
from retrieval.bench.recipes import p1_recipes, p3_recipes
from retrieval.bench.trained import Recipe, TrainedMethod
from retrieval.calibration import calibration_beside
from retrieval.encoder import Encoder
from retrieval.errors import ConfigInvalid, ManifestInvalid
from retrieval.weights import find_weights, model_id_of

P2_BACKBONES = ("resnet18", "resnet50", "resnet152")
_P5_BACKBONE = "resnet50"

Make = Callable[[], ImageMethod[Any]]


@dataclass(frozen=True)
class Entry:
    """A method that is made when its turn comes: networks of methods that wait need no memory.

    Attributes:
        key: one word. name: for the progress bar. group: `p1` to `p5` or `ours`.
        made_from: weights and effort, as a text; figures of another one are not this method's.
        gated: compare only the images that the gate lets through.
        missing: what the method lacks here, as a sentence; it takes part only where it is wanted by name, which is an
            error then.
        shared: name of the representation, where methods that follow each other have the same; "" for one of its own.
        backbone: torchvision's name, of a network that starts from ImageNet weights where there are some; else "".
        trained: whether a network is trained for it.
    """

    key: str
    name: str
    group: str
    make: Make
    made_from: str = ""
    gated: bool = False
    missing: str = ""
    shared: str = ""
    backbone: str = ""
    trained: bool = False

    @property
    def represented_as(self) -> str:
        """What methods with the same representation have in common."""
        return self.shared or self.key


@dataclass(frozen=True)
class Sources:
    """Where weights come from.

    Attributes:
        weights: name or path of this product's.
        backbones: files of torchvision state dicts (safetensors), by torchvision's name.
        pretrained: let torchvision download ImageNet weights of the others.
        lessons: what trained methods learn from; they are left out if None.
        side: of the images that frozen networks get, pixels; blank_side: those with random weights.
        keypoints: of an image at most, for SIFT and ORB.
    """

    weights: str
    backbones: Mapping[str, Path]
    pretrained: bool = False
    lessons: Lessons | None = None
    side: int = SIDE
    blank_side: int = SIDE
    keypoints: int = MOST_KEYPOINTS

    def side_of(self, backbone: str) -> int:
        """Of the images that a frozen backbone gets, pixels."""
        return self.side if self.pretrained or backbone in self.backbones else self.blank_side

    def frozen(self, backbone: str) -> FrozenBackbone:
        """A backbone that is not trained."""
        return FrozenBackbone(backbone, self.backbones.get(backbone), self.pretrained, self.side_of(backbone))


def catalogue(sources: Sources) -> list[Entry]:
    """Every method."""
    entries = [_classical(method, sources) for method in classical_methods(sources.keypoints)]
    if sources.lessons is not None:
        entries += _trained(sources, sources.lessons)
    entries += _frozen(sources)
    if sources.lessons is not None:
        entries += _hashing(sources, sources.lessons)
    return [*entries, _max_pooled(sources), *_ours(sources)]


def needed_downloads(entries: Sequence[Entry], sources: Sources) -> list[str]:
    """Backbones of these methods whose ImageNet weights are to be downloaded, by torchvision's name."""
    wanted = {entry.backbone for entry in entries} - set(sources.backbones) - {""}
    return sorted(wanted) if sources.pretrained else []


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


def _classical(method: ImageMethod[Any], sources: Sources) -> Entry:
    return Entry(method.about.key, method.about.name, "p3", lambda: method, f"{sources.keypoints} keypoints")


def _trained(sources: Sources, lessons: Lessons) -> list[Entry]:
    entries = []
    gate = model_id_of(find_weights(sources.weights))
    # The papers' own backbones, and those that there are starting weights for.
    more = sorted(set(sources.backbones) - set(P2_BACKBONES))
    for recipe in p3_recipes(more):
        # Trained once for the two rows that follow each other.
        make = lru_cache(1)(partial(TrainedMethod, recipe, lessons))
        entry = _lesson(recipe, "p3", make, sources, lessons)
        made_from = f"{entry.made_from} gate of {gate}"
        gated = replace(entry, key=f"{recipe.key}-gated", name=f"{recipe.name}, gated", made_from=made_from, gated=True)
        entries += [replace(one, shared=recipe.key) for one in (entry, gated)]
    for recipe in p1_recipes(more):
        entries.append(_lesson(recipe, "p1", partial(TrainedMethod, recipe, lessons), sources, lessons))
    return entries


def _lesson(recipe: Recipe, group: str, make: Make, sources: Sources, lessons: Lessons) -> Entry:
    made_from = f"{recipe} {lessons.effort_of(recipe.backbone)} {_origin(sources, recipe.backbone)}"
    return Entry(recipe.key, recipe.name, group, make, made_from, backbone=recipe.backbone, trained=True)


def _frozen(sources: Sources) -> list[Entry]:
    # One at a time: networks of methods that are done need no memory.
    load = lru_cache(1)(sources.frozen)
    entries = []
    for name in (*P2_BACKBONES, *sorted(set(sources.backbones) - set(P2_BACKBONES))):
        made_from = f"{sources.side_of(name)} pixels, {_origin(sources, name)}"
        for measure in MEASURES:
            make = partial(_features, load, name, measure)
            key = f"{name}-{measure.lower()}"
            entries.append(
                Entry(key, f"frozen {name}, {measure}", "p2", make, made_from, shared=f"frozen {name}", backbone=name)
            )
    return entries


def _hash_effort(sources: Sources, effort: HashEffort) -> HashEffort:
    """With the profile's backbone, or with one that has starting weights if that one has none."""
    if sources.pretrained or effort.backbone in sources.backbones or not sources.backbones:
        return effort
    return replace(effort, backbone=min(sources.backbones))


def _hashing(sources: Sources, lessons: Lessons) -> list[Entry]:
    effort = _hash_effort(sources, lessons.hashing)
    lessons = replace(lessons, hashing=effort)
    name, missing = effort.backbone, ""
    try:
        learnable_findings(lessons.manifest, lessons.datasets)
    except ManifestInvalid as error:
        missing = str(error)
    backbone = partial(FrozenBackbone, name, sources.backbones.get(name), sources.pretrained, effort.size)
    features = FeatureLessons(backbone, lessons.manifest, lessons.cache, lessons.datasets, effort.images)
    made_from = f"{effort} {_origin(sources, name)}"
    on_features = [
        Entry(
            key,
            about.name,
            "p4",
            partial(FeatureHash, about, features, learn),
            made_from,
            missing=missing,
            backbone=name,
        )
        for key, (about, learn) in FEATURE_HASHES.items()
    ]
    trained = [
        Entry(
            recipe.key,
            recipe.name,
            "p4",
            partial(TrainedHash, recipe, lessons),
            f"{made_from} {recipe.loss.__name__}",
            missing=missing,
            backbone=name,
            trained=True,
        )
        for recipe in trained_recipes()
    ]
    return on_features + trained


def _max_pooled(sources: Sources) -> Entry:
    name = _P5_BACKBONE
    made_from = f"{sources.side_of(name)} pixels, {_origin(sources, name)}"

    def make() -> ImageMethod[Any]:
        return MaxPooledFeatures(sources.frozen(name))

    return Entry(f"{name}-max", f"frozen {name}, max-pooled", "p5", make, made_from, backbone=name)


def _features(load: Callable[[str], FrozenBackbone], name: str, measure: str) -> ImageMethod[Any]:
    return FrozenFeatures(load(name), measure)


def _ours(sources: Sources) -> list[Entry]:
    weights = sources.weights
    path = find_weights(weights)
    calibration = hashlib.sha256(calibration_beside(path).read_bytes()).hexdigest()[:12]
    model_id = f"{model_id_of(path)} {calibration}"
    encoder = lru_cache(1)(lambda: Encoder.load(weights))
    one, other = OurEmbedding.about, OurVerdict.about
    return [
        Entry(one.key, one.name, "ours", lambda: OurEmbedding(encoder()), model_id, shared="lungprint"),
        Entry(other.key, other.name, "ours", lambda: OurVerdict(encoder(), weights), model_id, shared="lungprint"),
    ]
