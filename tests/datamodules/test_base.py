"""The loader's promises, on tensors whose pixels name their image."""

import time

import pytest
import torch

from datamodules.base import TensorLoader, fixed_permutation, key
from zoo.core.samples import sample_split
from zoo.errors import InputError


def numbered(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(n)
    return y.to(torch.uint8)[:, None, None, None].expand(n, 1, 2, 2).contiguous(), y


def labels(loader: TensorLoader, epoch: int = 0) -> list[int]:
    loader.set_epoch(epoch)
    return torch.cat([y for _, y in loader]).tolist()


def test_batches_are_normalised_and_labels_stay_with_their_images():
    x, y = torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8), torch.arange(10)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    for batch, target in TensorLoader(x, y, 4, shuffle=True, mean=mean, std=std):
        expected = (x[target] / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        assert batch.dtype == torch.float32
        torch.testing.assert_close(batch, expected)


def test_float_images_are_taken_as_they_are_and_never_changed():
    x, y = torch.rand(6, 1, 2, 2), torch.arange(6)
    before = x.clone()
    batch, _ = next(iter(TensorLoader(x, y, 6, mean=(0.5,), std=(0.5,))))
    torch.testing.assert_close(batch, 2 * before - 1)
    assert torch.equal(x, before)


def test_an_epoch_shows_every_image_once_in_an_order_of_seed_and_epoch():
    loader = TensorLoader(*numbered(50), 8, shuffle=True)
    first, second = labels(loader, 0), labels(loader, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert labels(TensorLoader(*numbered(50), 8, shuffle=True), 1) == second
    assert labels(TensorLoader(*numbered(50), 8, shuffle=True, seed=1), 1) != second
    assert labels(TensorLoader(*numbered(50), 8), 3) == list(range(50))


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_length_counts_the_batches(drop_last, sizes):
    loader = TensorLoader(*numbered(10), 4, drop_last=drop_last)
    assert [len(y) for _, y in loader] == sizes
    assert len(loader) == len(sizes)


@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_share_one_shuffle_in_equal_parts(shuffle):
    shares = [labels(TensorLoader(*numbered(11), 2, shuffle=shuffle, rank=r, world_size=3), 5) for r in range(3)]
    assert [len(share) for share in shares] == [3, 3, 3]
    together = [label for share in shares for label in share]
    assert len(set(together)) == 9
    if shuffle:  # dealt out of the order that a single process sees
        whole = labels(TensorLoader(*numbered(11), 2, shuffle=True), 5)
        assert set(together) == set(whole[:9])


def test_lightning_announces_epochs_through_the_sampler():
    loader = TensorLoader(*numbered(20), 4, shuffle=True)
    batches = iter(loader)  # made before the epoch is known, as Lightning does
    loader.sampler.set_epoch(3)
    assert torch.cat([y for _, y in batches]).tolist() == labels(loader, 3)


def test_a_loader_resumes_inside_an_epoch_with_the_same_augmentation():
    def noise(x, y, *, index, epoch, generator):
        return x + torch.rand(x.shape, generator=generator), y

    def make() -> TensorLoader:
        return TensorLoader(*numbered(20), 4, shuffle=True, augment=noise)

    whole = make()
    whole.set_epoch(2)
    expected = [x for x, _ in whole]
    cut = make()
    cut.set_epoch(2)
    batches = iter(cut)
    next(batches), next(batches)
    resumed = make()
    resumed.load_state_dict(cut.state_dict())
    resumed.set_epoch(2)
    assert all(torch.equal(a, b) for a, (b, _) in zip(expected[2:], resumed, strict=True))
    resumed.set_epoch(3)
    assert len(list(resumed)) == 5  # the next epoch is whole again


def test_augmentation_differs_between_batches_epochs_and_ranks():
    def noise(x, y, *, index, epoch, generator):
        return torch.rand(x.shape, generator=generator), y

    seen = []
    for rank in range(2):
        loader = TensorLoader(*numbered(16), 4, augment=noise, rank=rank, world_size=2)
        for epoch in range(2):
            loader.set_epoch(epoch)
            seen += [round(float(x.sum()), 6) for x, _ in loader]
    assert len(set(seen)) == len(seen) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"y": torch.arange(3)}, "there are 4 images but 3 labels"),
        ({"rank": 2, "world_size": 2}, "rank is 2; with world_size 2 it runs from 0 to 1"),
    ],
)
def test_bad_arguments_are_named(change, message):
    x, y = numbered(4)
    with pytest.raises(InputError, match=message):
        TensorLoader(**{"x": x, "y": y, "batch_size": 2} | change)


def test_fixed_permutation_never_changes():
    assert fixed_permutation(10).tolist() == [2, 4, 6, 8, 5, 1, 7, 0, 9, 3]
    order = fixed_permutation(60000)
    assert torch.equal(order.sort().values, torch.arange(60000))
    assert order[:3].tolist() == [34952, 30320, 10062]


def test_keys_are_distinct_seeds():
    keys = {key(seed, epoch, rank) for seed in range(10) for epoch in range(10) for rank in range(10)}
    assert len(keys) == 1000
    assert all(0 <= k < 2**63 for k in keys)


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", (500, 1, 28, 28)), ("fashion-mnist", (500, 1, 28, 28)), ("cifar10", (300, 3, 32, 32))]
)
def test_packaged_samples_are_balanced_real_images(name, shape):
    x, y = sample_split(name)
    assert x.shape == shape
    assert x.dtype == torch.uint8
    assert y.dtype == torch.int64
    assert y.bincount().tolist() == [shape[0] // 10] * 10
    assert len(x.flatten(1).unique(dim=0)) == shape[0]
    assert 0.1 < (x / 255).mean() < 0.6


def test_unknown_sample_names_the_known_ones():
    with pytest.raises(InputError, match="no sample of 'svhn' is packaged; there are cifar10, fashion-mnist, mnist"):
        sample_split("svhn")


def test_an_epoch_of_mnist_costs_little():
    x, y = torch.randint(0, 256, (60000, 1, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (60000,))
    loader = TensorLoader(x, y, 256, shuffle=True, mean=(0.1307,), std=(0.3081,))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a thread that waits for a busy core burns time that isn't the loader's
    costs = []
    for epoch in range(5):
        loader.set_epoch(epoch)
        start = time.process_time()
        assert sum(1 for _ in loader) == 235
        costs.append(time.process_time() - start)
    torch.set_num_threads(threads)
    assert min(costs) <= 0.15
