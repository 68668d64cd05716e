"""Locate a bright pixel: a global maximum contains no position, unless coordinates are among the channels."""

import torch
from torch import nn

from siwcc import CoordinateChannels


def train(layer: CoordinateChannels, steps: int = 300, batch: int = 32, size: int = 16) -> float:
    """Train a small network with `layer` in front; its mean distance from the pixel on new images, in pixels."""
    torch.manual_seed(0)
    convolve = nn.Conv2d(1 + layer.added_channels(2), 16, kernel_size=3, padding=1)
    network = nn.Sequential(layer, convolve, nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        at = torch.randint(size, (batch, 2))  # x, y
        image = 0.1 * torch.rand(batch, 1, size, size)
        image[range(batch), 0, at[:, 1], at[:, 0]] = 1.0
        distance = (network(image) * size - at).norm(dim=1).mean()
        optimiser.zero_grad()
        distance.backward()
        optimiser.step()
    return distance.item()


if __name__ == "__main__":
    for encoding in ("none", "coord", "weighted"):
        print(f"{encoding:>8}: {train(CoordinateChannels(encoding, extent=(1.0, 1.0))):.2f} pixels off")
