"""A U-Net for images: scores at half of the resolution, from a small and from a wide field.

    (B, C, H, W) -> stem, stride 2 -> block ---------------------------- + -> block -> scores (B, points, H / 2, W / 2)
                                        '-> mean of 2 x 2 -> block --- + '
                                                           '-> ... --- '
                                                      deepest level: mean over the image added

Each level has half of the places of the one above along each axis. On the way up a level's features are brought to the
width of the level above, repeated to its size, added to its features, and convolved (Ronneberger et al. 2015,
arXiv:1505.04597, which joins the features in place of the sum). Mean and repetition have the same middle, so the levels
are not shifted against each other. As many levels follow the first as leave at least four places along each axis, up to
four:

| level | pixels apart | channels | places, 128 pixels |
|---|---|---|---|
| 1 | 2 | 16 | 64 x 64 |
| 2 | 4 | 24 | 32 x 32 |
| 3 | 8 | 32 | 16 x 16 |
| 4 | 16 | 48 | 8 x 8 |
| 5 | 32 | 64 | 4 x 4 |

The mean of the deepest features goes to all of their places, so a score depends on the whole image. Heatmap, losses and
decoders are those of `siwcc.nn.heatmap_networks.DenseNet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from siwcc.nn.heatmap_networks import DenseNet, ResidualBlock

__all__ = ["UNet"]

WIDTHS = (16, 24, 32, 48, 64)
STRIDE = 2
# Standard deviation of the Gaussian around the point, and of the one that a peak is taken after, in scores.
SPREAD = 1.0
SMOOTHING = 2.0
_STEM_KERNEL = 5
_SMALLEST_LEVEL = 4


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Pyramid(nn.Module):
    """The levels of a U-Net.

    Args:
        in_channels: Channels of the image.
        widths: Channels of each level, the finest first.
        stride: Pixels between two places of the finest level.

    Shape:
        Input (B, in_channels, H, W); output (B, widths[0], ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, widths: Sequence[int], stride: int) -> None:
        super().__init__()
        self.stem = _convolution(in_channels, widths[0], _STEM_KERNEL, stride)
        self.down = nn.ModuleList(
            # A place of the coarser level is the middle of the two by two that it is repeated to on the way up.
            nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), _convolution(above, below, 3))
            for above, below in pairwise(widths)
        )
        self.blocks = nn.ModuleList(ResidualBlock(width, (3, 3), 1) for width in widths)
        self.whole = nn.Conv2d(widths[-1], widths[-1], 1)
        self.narrow = nn.ModuleList(nn.Conv2d(below, above, 1, bias=False) for above, below in pairwise(widths))
        self.up = nn.ModuleList(_convolution(width, width, 3) for width in widths[:-1])

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, widths[0], ceil(H / stride), ceil(W / stride))."""
        levels = [self.blocks[0](self.stem(image))]
        for down, block in zip(self.down, self.blocks[1:], strict=True):
            levels.append(block(down(levels[-1])))
        wide = levels.pop()
        wide = wide + self.whole(wide.mean((2, 3), keepdim=True))
        for narrow, up in zip(reversed(self.narrow), reversed(self.up), strict=True):
            level = levels.pop()
            wide = up(level + functional.interpolate(narrow(wide), size=level.shape[2:], mode="nearest"))
        return cast(Tensor, wide)


class UNet(DenseNet):
    """A score for every second pixel along each axis, and the point read from the heatmap.

    Args, shape and errors are those of `DenseNet`; signals with one axis are refused.
    """

    def _make_backbone(self, in_channels: int, shape: tuple[int, ...]) -> nn.Module:
        if len(shape) != 2:
            raise ValueError(f"UNet takes images, (height, width), not {shape}")
        levels, size = 1, -(-min(shape) // STRIDE)
        while levels < len(WIDTHS) and size >= 2 * _SMALLEST_LEVEL:
            levels, size = levels + 1, -(-size // 2)
        return Pyramid(in_channels, WIDTHS[:levels], STRIDE)

    def _width(self, dims: int) -> int:
        return WIDTHS[0]

    def _stride(self, dims: int) -> int:
        return STRIDE

    def _spread(self, dims: int) -> float:
        return SPREAD

    def _smoothing(self, dims: int) -> float:
        return SMOOTHING
