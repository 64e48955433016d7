from __future__ import annotations

import pytest
import torch

from retrieval.data.augment import Augmentation

STILL = Augmentation(
    rotation=0, zoom_in=0, zoom_out=0, stretch=0, shift=0, gamma=0, contrast=0, brightness=0, noise=0,
    collimation=0, erase=0,
)  # fmt: skip


def images(n: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (n, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_result_is_a_batch_of_grey_images_of_the_wanted_size() -> None:
    augmented = Augmentation().apply(images(), 48, torch.Generator().manual_seed(1))
    assert augmented.shape == (8, 1, 48, 48)
    assert augmented.min() >= 0
    assert augmented.max() <= 1


def test_with_every_bound_at_zero_nothing_changes() -> None:
    original = images()
    assert torch.allclose(STILL.apply(original, 64, torch.Generator())[:, 0], original / 255, atol=2e-4)


def test_images_of_a_batch_are_changed_differently_and_repeatably() -> None:
    same = images(1).expand(4, -1, -1)
    first = Augmentation().apply(same, 64, torch.Generator().manual_seed(1))
    again = Augmentation().apply(same, 64, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_nothing_is_ever_mirrored() -> None:
    """A bright left half stays on the left, whatever is drawn."""
    half = torch.zeros(200, 64, 64, dtype=torch.uint8)
    half[:, :, :24] = 200
    augmented = Augmentation().apply(half, 64, torch.Generator().manual_seed(2))[:, 0]
    assert (augmented[:, 24:40, 6:22].mean(dim=(1, 2)) > augmented[:, 24:40, 42:58].mean(dim=(1, 2))).all()


def test_corner_boxes_cover_a_corner_only() -> None:
    covered = Augmentation(**{**vars(STILL), "erase": 1.0}).apply(
        torch.full((50, 64, 64), 128, dtype=torch.uint8), 64, torch.Generator().manual_seed(3)
    )[:, 0]
    changed = (covered - 128 / 255).abs() > 1e-3
    assert not changed[:, 16:48, 16:48].any()
    assert changed.any(dim=(1, 2)).float().mean() > 0.9


@pytest.mark.parametrize("change", ["warp", "haze", "tube", "clahe", "coarse"])
def test_what_is_asked_for_changes_the_image_and_repeats_itself(change: str) -> None:
    images = torch.randint(0, 256, (4, 64, 64), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    strength = {"warp": 0.05, "haze": 0.2}.get(change, 1.0)

    def augmented(**changes: float) -> torch.Tensor:
        still = dict.fromkeys(Augmentation.__dataclass_fields__, 0.0)
        return Augmentation(**(still | changes)).apply(images, 64, torch.Generator().manual_seed(2))

    moved = augmented(**{change: strength})
    assert moved.min() >= 0 and moved.max() <= 1
    assert not torch.allclose(moved, augmented(), atol=1e-3)
    assert torch.equal(moved, augmented(**{change: strength}))
