"""What a training draws by chance, against counts and values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from siwcc.config import Jitter, Train
from siwcc.recipes import draw_order, jitter, step_size


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestOrder:
    group = np.array(["a"] * 90 + ["b"] * 9 + ["c"])

    def test_the_papers_order_is_torchs(self):
        order = draw_order(self.group, Train(), generator(42))
        assert np.array_equal(order, torch.randperm(100, generator=generator(42)).numpy())

    def test_as_many_rows_as_asked_for(self):
        order = draw_order(self.group, Train(rows_per_epoch=250), generator())
        assert len(order) == 250
        assert set(order) <= set(range(100))

    @pytest.mark.parametrize(("balance", "shares"), [(0.0, (0.9, 0.09, 0.01)), (1.0, (1 / 3, 1 / 3, 1 / 3))])
    def test_balance(self, balance, shares):
        order = draw_order(self.group, Train(rows_per_epoch=20_000, balance=balance), generator())
        found = [np.mean(self.group[order] == name) for name in "abc"]
        # Four standard errors of a share of 20,000 draws.
        assert found == pytest.approx(shares, abs=4 * math.sqrt(0.25 / 20_000))

    def test_half_balanced(self):
        # Weights 90 / sqrt(90), 9 / sqrt(9), 1: 9.487, 3 and 1.
        order = draw_order(self.group, Train(rows_per_epoch=20_000, balance=0.5), generator())
        found = [np.mean(self.group[order] == name) for name in "abc"]
        total = math.sqrt(90) + 3 + 1
        assert found == pytest.approx([math.sqrt(90) / total, 3 / total, 1 / total], abs=0.015)


class TestJitter:
    signal = torch.arange(1.0, 13.0).view(2, 2, 3).repeat(500, 1, 1)

    def test_nothing_asked_for_draws_nothing(self):
        source = generator()
        assert jitter(self.signal, Jitter(), source) is self.signal
        assert torch.equal(source.get_state(), generator().get_state())

    def test_sign_of_whole_channels(self):
        ratio = jitter(self.signal, Jitter(sign=0.5), generator()) / self.signal
        assert set(ratio.flatten().tolist()) == {-1.0, 1.0}
        assert torch.equal(ratio, ratio[:, :, :1].expand_as(ratio))
        assert (ratio[:, :, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.05)

    def test_channels_change_places(self):
        moved = jitter(self.signal, Jitter(order=1.0), generator())
        kept, swapped = (moved == self.signal).all(dim=(1, 2)), (moved == self.signal.flip(1)).all(dim=(1, 2))
        assert bool((kept | swapped).all())
        assert swapped.float().mean().item() == pytest.approx(0.5, abs=0.07)

    def test_one_channel_is_silent(self):
        silent = (jitter(self.signal, Jitter(silence=0.3), generator()) == 0).all(dim=2)
        assert silent.sum(dim=1).max().item() == 1
        assert silent.any(dim=1).float().mean().item() == pytest.approx(0.3, abs=0.06)

    def test_the_only_channel_is_never_silent(self):
        assert torch.equal(jitter(self.signal[:, :1], Jitter(silence=1.0), generator()), self.signal[:, :1])

    def test_the_same_generator_the_same_change(self):
        settings = Jitter(sign=0.5, order=0.5, silence=0.2)
        assert torch.equal(*(jitter(self.signal, settings, generator(3)) for _ in range(2)))


class TestStepSize:
    def test_constant(self):
        assert {step_size(Train(learning_rate=0.002), step, 10) for step in range(10)} == {0.002}

    def test_one_cycle(self):
        settings = Train(learning_rate=0.1, schedule="one_cycle")
        sizes = [step_size(settings, step, 100) for step in range(100)]
        assert sizes[:3] == pytest.approx([0.005, 0.01, 0.015])
        assert max(sizes) == pytest.approx(0.1)
        assert sizes.index(max(sizes)) == 19
        assert sizes[60] == pytest.approx(0.05)
        assert 0 < sizes[-1] < 1e-4

    def test_a_single_step(self):
        assert step_size(Train(learning_rate=0.1, schedule="one_cycle"), 0, 1) == pytest.approx(0.1)


class TestRecipeOfAVariant:
    def test_only_what_is_given_changes(self):
        train = Train(epochs=7, by_variant={"dense": {"learning_rate": 0.5, "jitter": {"sign": 1.0}}})
        assert train.of("full").model_dump() == train.model_dump() | {"by_variant": {}}
        changed = train.model_dump() | {"by_variant": {}, "learning_rate": 0.5}
        changed["jitter"]["sign"] = 1.0
        assert train.of("dense").model_dump() == changed

    def test_the_papers_networks_have_no_recipe_of_their_own(self):
        assert set(Train().by_variant) == {"dense", "heatmap", "median"}
