"""Points that stand one below the other, such as vertebrae, decoded from their heatmaps together.

A network that looks for several points of one look finds where such points are; which of them each is, it knows less
well than it says. Decoded alone, a prediction is often off by one point. So the rows of all points are chosen together,
with the largest sum of

    OWN  log p_k(row)             the point's own heatmap, trusted little
    ANY  log sum_j p_j(row)       whether any of the points is there
    PLACE log N(row)              where the point is in the training images
    STEP log N(row - row before)  how far apart two neighbours are in the training images

found by dynamic programming (Viterbi) over rows; the largest value over the columns counts for each row. The prediction
is the mean place under OWN log p + ANY log sum p around the chosen place. The weights were chosen on inner validation
folds of 17 vertebrae in radiographs; rows and gaps are medians and median absolute deviations of the training targets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["PointChain"]

OWN, ANY, PLACE, STEP = 0.05, 2.0, 0.3, 0.5
# Of the window that the mean place is taken in, standard deviation in scores.
RADIUS = 1.5
_SMALLEST_FRACTION = 1e-4
# Of the deviations, in scores: the training points may all have one row.
_SMALLEST_DEVIATION = 0.25
# A normal distribution has its median absolute deviation at 0.674 standard deviations.
_OF_MAD = 1.4826


class PointChain(nn.Module):
    """Where the points of the training images are along y, and the decoder that uses it.

    The four buffers are part of the weights; `fit` sets them before the training.

    Args:
        points: How many there are, at least two, from top to bottom.
        step: Pixels between two scores along x and y.

    Raises:
        ValueError: fewer than two points.
    """

    row: Tensor
    row_deviation: Tensor
    gap: Tensor
    gap_deviation: Tensor

    def __init__(self, points: int, step: tuple[float, ...]) -> None:
        super().__init__()
        if points < 2 or len(step) != 2:
            raise ValueError("the decoder chain is for two points or more in an image")
        self.step = step
        for name, size in (("row", points), ("gap", points - 1)):
            self.register_buffer(name, torch.zeros(size))
            self.register_buffer(f"{name}_deviation", torch.ones(size))

    def fit(self, target: Tensor) -> None:
        """Take the rows and gaps of training targets.

        Args:
            target: (rows, points * 2) in pixels, x before y, NaN where a point is not visible.
        """
        rows = target.view(len(target), -1, 2)[:, :, 1] / self.step[1]
        for name, values in (("row", rows), ("gap", rows.diff(dim=1))):
            middle = values.nanmedian(dim=0).values
            deviation = _OF_MAD * (values - middle).abs().nanmedian(dim=0).values
            getattr(self, name).copy_(middle)
            getattr(self, f"{name}_deviation").copy_(deviation.clamp_min(_SMALLEST_DEVIATION))

    def forward(self, log_map: Tensor) -> Tensor:
        """(B, points, H, W), logarithms of fractions that sum to 1 -> (B, points, 2), pixels, x before y."""
        anywhere = log_map.exp().sum(1, keepdim=True).clamp_min(_SMALLEST_FRACTION).log()
        score = OWN * log_map + ANY * anywhere
        of_row, column = score.max(dim=3)
        row = self._best_rows(of_row)
        column = column.gather(2, row.unsqueeze(2)).squeeze(2)
        return self._mean_around(score, column, row)

    def _best_rows(self, score: Tensor) -> Tensor:
        """The chain of rows with the largest sum, (B, points, H) -> int64 (B, points)."""
        numbers = torch.arange(score.shape[2], dtype=score.dtype, device=score.device)
        off = (numbers - self.row.unsqueeze(1)) / self.row_deviation.unsqueeze(1)
        score = score - 0.5 * PLACE * off.square()
        gaps = numbers.unsqueeze(1) - numbers
        best, before = score[:, 0], []
        for point in range(1, score.shape[1]):
            unusual = ((gaps - self.gap[point - 1]) / self.gap_deviation[point - 1]).square()
            top, upper = (best.unsqueeze(1) - 0.5 * STEP * unusual).max(dim=2)
            before.append(upper)
            best = top + score[:, point]
        rows = [best.argmax(dim=1)]
        for upper in reversed(before):
            rows.append(upper.gather(1, rows[-1].unsqueeze(1)).squeeze(1))
        return torch.stack(rows[::-1], dim=1)

    def _mean_around(self, score: Tensor, column: Tensor, row: Tensor) -> Tensor:
        """The mean place under the scores in a Gaussian window around a place, pixels, (B, points, 2)."""
        places = []
        for axis, middle in ((3, column), (2, row)):
            numbers = torch.arange(score.shape[axis], dtype=score.dtype, device=score.device)
            window = -0.5 * ((numbers - middle.unsqueeze(2)) / RADIUS).square()
            score = score + window.unsqueeze(2 if axis == 3 else 3)
            places.append(numbers)
        fraction = score.flatten(2).softmax(dim=2).view(score.shape)
        sums = (fraction.sum(2), fraction.sum(3))
        found = [(of * at).sum(2) * step for of, at, step in zip(sums, places, self.step, strict=True)]
        return torch.stack(found, dim=2)
