"""What a training draws by chance, against counts and values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, assert_same

from siwcc.config import OnlineAugmentation, Train
from siwcc.training.sampling import Mirrored, augment_online, draw_order, learning_rate_at, new_copies

# Fractions and means of seeded draws have the absolute bound of their sampling error: at least three standard errors.
pytestmark = pytest.mark.numeric


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
        # Four standard errors of a fraction of 20,000 draws.
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
        assert augment_online(self.signal, OnlineAugmentation(), source) is self.signal
        assert torch.equal(source.get_state(), generator().get_state())

    def test_sign_of_whole_channels(self):
        ratio = augment_online(self.signal, OnlineAugmentation(sign=0.5), generator()) / self.signal
        assert set(ratio.flatten().tolist()) == {-1.0, 1.0}
        assert torch.equal(ratio, ratio[:, :, :1].expand_as(ratio))
        assert (ratio[:, :, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.05)

    def test_channels_change_places(self):
        moved = augment_online(self.signal, OnlineAugmentation(order=1.0), generator())
        kept, swapped = (moved == self.signal).all(dim=(1, 2)), (moved == self.signal.flip(1)).all(dim=(1, 2))
        assert bool((kept | swapped).all())
        assert swapped.float().mean().item() == pytest.approx(0.5, abs=0.07)

    def test_one_channel_is_silent(self):
        silent = (augment_online(self.signal, OnlineAugmentation(silence=0.3), generator()) == 0).all(dim=2)
        assert silent.sum(dim=1).max().item() == 1
        assert silent.any(dim=1).float().mean().item() == pytest.approx(0.3, abs=0.06)

    def test_the_only_channel_is_never_silent(self):
        assert torch.equal(
            augment_online(self.signal[:, :1], OnlineAugmentation(silence=1.0), generator()), self.signal[:, :1]
        )

    def test_two_channels_turn_in_their_plane(self):
        signal = torch.randn(400, 2, 9, dtype=torch.float64, generator=generator(1))
        turned = augment_online(signal, OnlineAugmentation(turn=0.5), generator())
        kept = (turned == signal).all(dim=(1, 2))
        assert kept.float().mean().item() == pytest.approx(0.5, abs=0.07)
        # As one complex number a sample: every one times the same factor of length 1, at any angle.
        ratio = torch.complex(*turned.unbind(1)) / torch.complex(*signal.unbind(1))
        # The angle is drawn in float32; a sample near 0 magnifies nothing, as it is float64.
        assert (ratio - ratio[:, :1]).abs().max() < FLOAT32
        assert (ratio.abs() - 1).abs().max() < FLOAT32
        quadrants = torch.complex(ratio.real.sign(), ratio.imag.sign())[~kept, 0]
        assert min(int((quadrants == corner).sum()) for corner in (1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j)) > 25

    def test_of_three_channels_two_turn(self):
        turned = augment_online(torch.ones(300, 3, 4), OnlineAugmentation(turn=1.0), generator())
        changed = (turned != 1).any(dim=2)
        assert changed.sum(dim=1).tolist() == [2] * 300
        assert changed.float().mean(dim=0).tolist() == pytest.approx([2 / 3] * 3, abs=0.08)

    def test_the_only_channel_is_never_turned(self):
        assert torch.equal(
            augment_online(self.signal[:, :1], OnlineAugmentation(turn=1.0), generator()), self.signal[:, :1]
        )

    def test_noise_is_a_share_of_each_channels_largest_value(self):
        signal = torch.tensor([1.0, -100.0]).view(1, 2, 1).expand(400, 2, 200)
        share = (augment_online(signal, OnlineAugmentation(noise=0.1), generator()) - signal) / torch.tensor(
            [1.0, 100.0]
        ).view(1, 2, 1)
        deviation = share.std(dim=2)
        # One strength for all channels of a signal, uniform from none to the most.
        torch.testing.assert_close(deviation[:, 0], deviation[:, 1], rtol=0.5, atol=0.003)
        assert deviation.mean().item() == pytest.approx(0.05, abs=0.004)
        assert deviation.max().item() == pytest.approx(0.1, abs=0.015)
        assert abs(share.mean().item()) < 1e-3
        correlation = (share[:, 0] * share[:, 1]).mean() / share.square().mean()
        assert abs(correlation.item()) < 0.02

    def test_wander_is_one_sine_of_two_to_ten_periods_for_all_channels(self):
        signal = torch.tensor([1.0, -100.0]).view(1, 2, 1).expand(400, 2, 500)
        share = (augment_online(signal, OnlineAugmentation(wander=0.2), generator()) - signal) / torch.tensor(
            [1.0, 100.0]
        ).view(1, 2, 1)
        # Differences of float32 signals that are up to five times as large.
        assert_same(share[:, 0], share[:, 1], FLOAT32, scale=1)
        peak = share[:, 0].abs().amax(dim=1)
        assert peak.max().item() == pytest.approx(0.2, abs=0.01)
        assert peak.mean().item() == pytest.approx(0.1, abs=0.01)
        crossings = (share[:, 0, 1:].sign() != share[:, 0, :-1].sign()).sum(dim=1)
        assert 3 <= crossings.min().item() <= 5
        assert 19 <= crossings.max().item() <= 21

    def test_a_patch_of_all_channels_is_silent(self):
        silent = (augment_online(torch.ones(600, 2, 400), OnlineAugmentation(patch=0.5), generator()) == 0).all(dim=1)
        length = silent.sum(dim=1)
        assert (length > 0).float().mean().item() == pytest.approx(0.5, abs=0.06)
        assert 20 <= length[length > 0].min().item() <= 21
        assert 39 <= length.max().item() <= 40
        # In one piece, anywhere.
        edges = silent.int().diff(dim=1).abs().sum(dim=1)
        assert edges.max().item() <= 2
        assert silent.any(dim=0)[5:-5].all()

    def test_a_patch_hides_no_point(self):
        # Of the 300 rows every second has a second point, the others do not show it.
        kept = torch.tensor([[200.4, 100.0], [5.0, math.nan]]).repeat(150, 1)
        silent = (augment_online(torch.ones(300, 2, 400), OnlineAugmentation(patch=1.0), generator(), kept) == 0).all(
            dim=1
        )
        assert (silent.sum(dim=1) >= 20).all()
        shown = ~silent
        assert shown[0::2, [100, 200, 201]].all()
        assert shown[1::2, 5].all()
        # Close by on either side it is silent now and then, and where another row's point is.
        assert all(silent[0::2, start : start + 6].any() for start in (94, 101, 194, 202))
        assert silent[1::2, 100].any()

    def test_where_points_leave_no_room_nothing_is_silent(self):
        kept = torch.full((2, 40), math.nan)
        kept[0] = torch.arange(40)
        silent = (
            (augment_online(torch.ones(2, 2, 40), OnlineAugmentation(patch=1.0), generator(), kept) == 0)
            .any(dim=2)
            .any(dim=1)
        )
        assert silent.tolist() == [False, True]

    def test_nothing_over_time_is_done_to_images(self):
        image = torch.randn(3, 3, 8, 8)
        assert augment_online(image, OnlineAugmentation(wander=1.0, patch=1.0), generator()) is image
        assert augment_online(image, OnlineAugmentation(noise=0.5), generator()).shape == image.shape

    def test_the_same_generator_the_same_change(self):
        settings = OnlineAugmentation(sign=0.5, order=0.5, silence=0.2, turn=0.5, noise=0.1, wander=0.1, patch=0.5)
        assert torch.equal(*(augment_online(self.signal, settings, generator(3)) for _ in range(2)))


class TestNewCopies:
    def test_by_hand(self):
        drawn = np.array(["b", "a", "b", "c", "b"], dtype=object)
        assert new_copies(drawn, 100, 1).tolist() == [101, 101, 102, 101, 103]
        assert new_copies(drawn, 100, 3).tolist() == [111, 111, 112, 111, 113]

    def test_no_sample_has_a_number_twice(self):
        source = np.random.default_rng(0)
        pairs = set()
        for epoch in (1, 2, 3):
            drawn = source.choice(np.array(["a", "b", "c"], dtype=object), 50, p=[0.9, 0.05, 0.05])
            numbers = new_copies(drawn, 7, epoch)
            assert numbers.min() > 7
            pairs |= set(zip(drawn.tolist(), numbers.tolist(), strict=True))
        assert len(pairs) == 150


class TestStepSize:
    def test_constant(self):
        assert {learning_rate_at(Train(learning_rate=0.002), step, 10) for step in range(10)} == {0.002}

    def test_one_cycle(self):
        settings = Train(learning_rate=0.1, schedule="one_cycle")
        rates = [learning_rate_at(settings, step, 100) for step in range(100)]
        assert rates[:3] == pytest.approx([0.005, 0.01, 0.015])
        assert max(rates) == pytest.approx(0.1)
        assert rates.index(max(rates)) == 19
        assert rates[60] == pytest.approx(0.05)
        assert 0 < rates[-1] < 1e-4

    def test_a_single_step(self):
        assert learning_rate_at(Train(learning_rate=0.1, schedule="one_cycle"), 0, 1) == pytest.approx(0.1)


class TestRecipeOfAVariant:
    def test_only_what_is_given_changes(self):
        train = Train(epochs=7, by_variant={"dense": {"learning_rate": 0.5, "online_augmentation": {"sign": 1.0}}})
        assert train.of("full").model_dump() == train.model_dump() | {"by_variant": {}}
        changed = train.model_dump() | {"by_variant": {}, "learning_rate": 0.5}
        changed["online_augmentation"]["sign"] = 1.0
        assert train.of("dense").model_dump() == changed

    def test_keys_that_are_not_set_leave_no_trace_in_a_model(self):
        train = Train(by_variant={"unet": {"loss": "adaptive_wing", "online_augmentation": {"mirror": 0.5}}})
        plain, own = train.of("full").recorded(), train.of("unet").recorded()
        later = {"loss", "decoder", "heatmap_sigma", "scored_epochs"}
        assert set(train.model_dump()) - set(plain) == later
        assert set(train.online_augmentation.model_dump()) - set(plain["online_augmentation"]) == {
            "mirror",
            "mirrorings",
        }
        assert own == plain | {
            "loss": "adaptive_wing",
            "online_augmentation": plain["online_augmentation"] | {"mirror": 0.5},
        }

    def test_the_papers_networks_have_no_recipe_of_their_own(self):
        assert set(Train().by_variant) == {"residual", "dense", "heatmap", "median", "unet", "unet_replicate"}


class TestMirrored:
    def draw(self, size=(6, 6), count=64, probability=0.5) -> tuple[torch.Tensor, torch.Tensor, Mirrored]:
        """Images whose one bright pixel is the point, two points in each; and what is done to them."""
        generator = torch.Generator().manual_seed(0)
        rows, columns = (torch.randint(extent, (count, 2), generator=generator) for extent in size)
        image = torch.zeros(count, 2, *size)
        for point in range(2):
            image[torch.arange(count), point, rows[:, point], columns[:, point]] = 1
        target = torch.stack([columns, rows], dim=2).flatten(1).float()
        return (
            image,
            target,
            Mirrored.draw(image, OnlineAugmentation(mirror=probability), (size[1] - 1.0, size[0] - 1.0), generator),
        )

    @pytest.mark.parametrize("size", [(6, 6), (4, 7)])
    def test_points_go_with_the_pixels_and_back(self, size):
        image, target, mirrored = self.draw(size)
        moved, points = mirrored.image(image), mirrored.points(target)
        at = points.long().view(-1, 2, 2)
        number = torch.arange(len(image))
        for point in range(2):
            assert (moved[number, point, at[:, point, 1], at[:, point, 0]] == 1).all()
        assert moved.sum() == image.sum()
        assert torch.equal(mirrored.points_before(points), target)

    def test_all_eight_symmetries_of_a_square(self):
        corner = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]).expand(400, -1, -1, -1)
        mirrored = Mirrored.draw(corner, OnlineAugmentation(mirror=0.5), (1.0, 1.0), torch.Generator().manual_seed(1))
        _, counts = mirrored.image(corner).flatten(1).unique(dim=0, return_counts=True)
        # 50 of each are expected, with a standard deviation of 6.6.
        assert len(counts) == 8
        assert counts.min() > 25

    def test_left_right_alone(self):
        corner = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]).expand(100, -1, -1, -1)
        settings = OnlineAugmentation(mirror=0.5, mirrorings="left_right")
        mirrored = Mirrored.draw(corner, settings, (1.0, 1.0), torch.Generator().manual_seed(1))
        found = {tuple(image) for image in mirrored.image(corner).flatten(1).tolist()}
        assert found == {(0, 1, 2, 3), (1, 0, 3, 2)}

    def test_by_hand(self):
        mirrored = Mirrored(torch.tensor([[True, True, False], [False, False, True]]), (9.0, 9.0))
        points = mirrored.points(torch.tensor([[2.0, 3.0, 9.0, 0.0], [2.0, 3.0, float("nan"), float("nan")]]))
        # x for y gives (3, 2) and (0, 9), left-right (6, 2) and (9, 9).
        assert points[0].tolist() == [6.0, 2.0, 9.0, 9.0]
        assert points[1, :2].tolist() == [2.0, 6.0]
        assert points[1, 2:].isnan().all()

    def test_nothing_is_drawn_where_nothing_is_done(self):
        generator = torch.Generator().manual_seed(0)
        before = generator.get_state()
        for signal, probability in ((torch.zeros(2, 3, 4, 4), 0.0), (torch.zeros(2, 3, 500), 0.5)):
            mirrored = Mirrored.draw(signal, OnlineAugmentation(mirror=probability), (1.0,), generator)
            assert mirrored.image(signal) is signal
            assert mirrored.points(signal) is mirrored.points_before(signal) is signal
        assert torch.equal(generator.get_state(), before)
