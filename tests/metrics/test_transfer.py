"""The measures of a backbone on embeddings whose answers are known."""

import numpy as np
import pytest
import torch

import zoo
from zoo.core.images import Transform
from zoo.errors import InputError
from zoo.metrics.transfer import few_labels, few_shot, fine_tuned, knn, linear_probe


def clusters(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    centres = torch.tensor([[4.0, 0, 0, 1], [0, 4, 0, 1], [0, 0, 4, 1]])
    return centres[y] + 0.3 * torch.randn(n, 4, generator=generator), y


def test_separate_clusters_are_found_and_noise_is_not():
    (z, y), (test_z, test_y) = clusters(90, 0), clusters(60, 1)
    assert linear_probe(z, y, test_z, test_y) == 1 == knn(z, y, test_z, test_y, k=5)
    noise = torch.randn(300, 4, generator=torch.Generator().manual_seed(2))
    label = torch.randint(3, (300,), generator=torch.Generator().manual_seed(3))
    assert linear_probe(noise[:150], label[:150], noise[150:], label[150:]) < 0.5
    assert linear_probe(z.numpy(), y.tolist(), np.asarray(test_z), test_y.numpy()) == 1


def test_knn_is_the_loop_over_weighted_votes():
    (z, y), (test_z, _) = clusters(40, 0), clusters(9, 1)
    z, test_z = z + torch.randn(40, 4, generator=torch.Generator().manual_seed(4)) * 3, test_z
    expected = []
    for query in test_z:
        cosine = torch.nn.functional.cosine_similarity(query[None], z)
        nearest = cosine.argsort(descending=True)[:7]
        votes = [float(sum((10 * cosine[i]).exp() for i in nearest if y[i] == label)) for label in range(3)]
        expected.append(votes.index(max(votes)))
    assert knn(z, y, test_z, expected, k=7) == 1


def test_shots_are_the_nearest_mean_and_more_of_them_are_better():
    (z, y), (test_z, test_y) = clusters(60, 0), clusters(30, 1)
    assert few_shot(z, y, test_z, test_y, 1) == 1
    assert few_shot(z[:3], 7 * y[:3], test_z, 7 * test_y, 1, draws=1) == 1  # classes of any number
    far = z + 3 * torch.randn(60, 4, generator=torch.Generator().manual_seed(5))
    one, all_of_them = few_shot(far, y, test_z, test_y, 1), few_shot(far, y, test_z, test_y, 20, draws=2)
    means = torch.stack([torch.nn.functional.normalize(far, dim=1)[y == label].mean(0) for label in range(3)])
    cosine = torch.nn.functional.cosine_similarity(test_z[:, None], means[None], dim=2)
    assert one < all_of_them == pytest.approx(float((cosine.argmax(1) == test_y).float().mean()))
    with pytest.raises(InputError, match="smallest class's 20"):
        few_shot(z, y, test_z, test_y, 21)


def test_few_labels_are_as_many_of_each_class_and_others_in_each_draw():
    y = torch.arange(1000) % 10
    first, second = few_labels(y, 0.05, 0), few_labels(y, 0.05, 1)
    assert torch.bincount(y[first]).tolist() == [5] * 10
    assert torch.equal(first, few_labels(y, 0.05, 0)) and not torch.equal(first, second)
    for share in (0, 1.5, -1):
        with pytest.raises(InputError, match="share"):
            few_labels(y, share)


def test_what_makes_no_sense_is_refused_in_one_sentence():
    z, y = clusters(12, 0)
    for bad, word in (
        ((z[:, :2], y, z, y), "embeddings are"),
        ((z, y[:3], z, y), "as many classes"),
        ((z.fill_(float("nan")), y, z, y), "NaN"),
    ):
        with pytest.raises(InputError, match=word):
            linear_probe(*bad)
    z, y = clusters(12, 0)
    with pytest.raises(InputError, match="one class"):
        linear_probe(z, torch.zeros(12), z, y)
    with pytest.raises(InputError, match="k must be"):
        knn(z, y, z, y, k=13)


def test_fine_tuning_learns_a_bright_and_a_dark_class_and_leaves_the_model_alone():
    model = zoo.create("rotnet", width=8).eval()
    model.transform = Transform([16, 16], "RGB", [0.0] * 3, [1.0] * 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    y = torch.arange(24) % 2
    noise = torch.randint(0, 100, (24, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    x = (noise + 150 * y[:, None, None, None]).to(torch.uint8)
    options = {"steps": 30, "batch_size": 8, "head_first": 10, "lr": 1e-2}
    assert fine_tuned(model, x[:16], y[:16], x[16:], y[16:], **options) == 1
    assert model.head is None and all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    with pytest.raises(InputError, match="need as many labels"):
        fine_tuned(model, x, y[:3], x, y)
