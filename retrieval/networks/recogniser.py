"""The whole of what recognises a person: two networks that see one image in two ways."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.networks.atlas import Atlas, laid, laid_back, structure
from retrieval.networks.attention_hash import AttentionHashNetwork, Outputs
from retrieval.networks.contrast import as_grey, evened
from retrieval.networks.input import resized
from retrieval.networks.regional import RegionalNetwork

# Side of the map that says where in an image its person is read.
_MAP_SIDE = 20


class Recogniser(nn.Module):
    """An attention-hash network, and beside it a regional network if there is one.

    With an atlas, both see each image laid onto the mean chest, so that a rib lies in the same place in all images of a
    person, whoever positioned the patient.

    The embedding has two parts: one sees what there is in the whole image, one which rib runs where. Each has a fixed
    length, so the cosine of two embeddings is the mean of the parts' cosines, weighed by `RegionalOptions.share`.

    Args:
        whole: gives code, attention and findings, and the last part of the embedding. size: side of the images it
            sees, in pixels.
        regional: gives the first part of the embedding.
        atlas: lays images onto a mean chest; they are seen as they come if None.
    """

    def __init__(
        self,
        whole: AttentionHashNetwork,
        size: int,
        regional: RegionalNetwork | None = None,
        atlas: Atlas | None = None,
    ) -> None:
        super().__init__()
        self.whole = whole
        self.size = size
        self.regional = regional
        self.atlas = atlas

    @property
    def dim(self) -> int:
        """Length of the embedding."""
        return self.whole.dim + (0 if self.regional is None else self.regional.options.dim)

    def forward(self, images: Tensor) -> Outputs:
        """Encode images: float (n, 1, h, w), grey in [0, 1]; each network resizes them as it needs.

        With a regional network, the attention, in [0, 1], says which places its part of the embedding comes from, 1 the
        most; without one it is that of the hash code. It lies on the image as it was given, the feature maps on the
        mean chest.
        """
        if self.regional is None:
            return self.without_regional(images)
        poses = self._poses(images)
        outputs = self._whole(images, poses)
        options = self.regional.options
        regional = self.regional(resized(framed(images, poses, options.contrast), options.size))
        parts = [
            math.sqrt(options.share) * regional.embedding,
            math.sqrt(1 - options.share) * outputs.embedding,
        ]
        embedding = functional.normalize(torch.cat(parts, dim=1), dim=1)
        places = _on_image(self.regional.pool.spread(regional.shares.clamp(min=0.0), _MAP_SIDE), poses)
        places = places / places.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        return outputs._replace(embedding=embedding, attention=places)

    def without_regional(self, images: Tensor) -> Outputs:
        """The same without the regional network: the embedding is the last part alone."""
        poses = self._poses(images)
        outputs = self._whole(images, poses)
        return outputs._replace(attention=_on_image(outputs.attention, poses))

    def _poses(self, images: Tensor) -> Tensor | None:
        if self.atlas is None:
            return None
        # In float32: registration solves for changes that are smaller than what bfloat16 rounds away.
        with torch.autocast(images.device.type, enabled=False):
            return self.atlas.poses(structure(images.float()))

    def _whole(self, images: Tensor, poses: Tensor | None) -> Outputs:
        outputs: Outputs = self.whole(resized(framed(images, poses), self.size))
        return outputs


def _on_image(maps: Tensor, poses: Tensor | None) -> Tensor:
    """Maps (n, h, w) of images as the networks see them, as they lie on the images that were given."""
    return maps if poses is None else laid_back(maps.float().unsqueeze(1), poses).squeeze(1)


def framed(images: Tensor, poses: Tensor | None, contrast: float = 0.0) -> Tensor:
    """Images as a network sees them, before it resizes them.

    Args:
        images: float (n, 1, h, h), grey in [0, 1]. poses: where the mean chest lies in them, float32 (n, 5); they stay
            as they lie if None. contrast: see `RegionalOptions`; it is made even before an image is moved, so that no
            edge that comes with moving counts.

    Returns:
        The same shape, in [0, 1]; beyond an image's edges 0, or with even contrast a middle grey.
    """
    with torch.autocast(images.device.type, enabled=False):
        seen = evened(images.float(), contrast) if contrast else images
        if poses is not None:
            seen = laid(seen.float(), poses)
        return as_grey(seen) if contrast else seen
