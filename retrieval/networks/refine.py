"""The refinement of P4: one residual block, then 3×3 average pooling, to a fixed-length vector."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """3×3 convolution, batch normalisation, skip connection, ReLU: (n, c_in, h, w) to (n, c_out, h, w).

    The skip is a 1×1 convolution where the number of channels changes, as in ResNet. Source: P4, figure 3.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(channels_out)
        self.skip: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.skip = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, kernel_size=1, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Refine maps (n, c_in, h, w) to (n, c_out, h, w), ≥ 0."""
        return functional.relu(self.normalisation(self.convolution(maps)) + self.skip(maps))


class Refine(nn.Module):
    """Feature map (n, c, h, w) to a vector (n, dim): residual block, 3×3 average pooling, mean over what is left.

    The paper's pooling leaves one position on its maps; ours may be of any size of at least 3×3, hence the mean.
    Source: P4, eq. 4 and 6.
    """

    def __init__(self, channels: int, dim: int = 256) -> None:
        super().__init__()
        self.block = ResidualBlock(channels, dim)
        self.pool = nn.AvgPool2d(kernel_size=3, stride=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Refine maps (n, c, h, w), h and w ≥ 3, to (n, dim)."""
        return cast(Tensor, self.pool(self.block(maps)).mean(dim=(2, 3)))
