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

        The attention lies on the image as it was given, the feature maps on the mean chest.
        """
        poses = self._poses(images)
        outputs = self._whole(images, poses)
        if self.regional is None:
            return outputs
        options = self.regional.options
        seen = resized(framed(images, poses, options.contrast), options.size)
        parts = [
            math.sqrt(options.share) * self.regional(seen),
            math.sqrt(1 - options.share) * outputs.embedding,
        ]
        return outputs._replace(embedding=functional.normalize(torch.cat(parts, dim=1), dim=1))

    def without_regional(self, images: Tensor) -> Outputs:
        """The same without the regional network: the embedding is the last part alone."""
        return self._whole(images, self._poses(images))

    def _poses(self, images: Tensor) -> Tensor | None:
        if self.atlas is None:
            return None
        # In float32: registration solves for changes that are smaller than what bfloat16 rounds away.
        with torch.autocast(images.device.type, enabled=False):
            return self.atlas.poses(structure(images.float()))

    def _whole(self, images: Tensor, poses: Tensor | None) -> Outputs:
        outputs: Outputs = self.whole(resized(framed(images, poses), self.size))
        if poses is None:
            return outputs
        attention = laid_back(outputs.attention.float().unsqueeze(1), poses).squeeze(1)
        return outputs._replace(attention=attention)


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
