"""The figure of adaptation on small networks: drawn, and a distance that knows mixed from unmixed samples."""

import torch

from scripts.figures.adaptation import against_strength, draw, proxy_distance
from zoo.core.images import Transform
from zoo.models.adaptation.dann import DANN


class Digits:
    image_shape = (1, 16, 16)
    preprocess = Transform([16, 16], "L", [0.5], [0.5]).to_dict()

    def tensors(self, split, domain):
        generator = torch.Generator().manual_seed(len(domain))
        return torch.randint(0, 256, (40, 1, 16, 16), dtype=torch.uint8, generator=generator), torch.arange(40) % 10


def test_draws_two_networks_and_measures_them(tmp_path):
    torch.manual_seed(0)
    models = [DANN(width=8, embedding_dim=8) for _ in range(2)]
    for model in models:
        model.transform = Transform([16, 16], "L", [0.5], [0.5])
    rows = draw(models, Digits(), tmp_path / "features.png", n=40)
    assert (tmp_path / "features.png").stat().st_size < 200_000
    assert len(rows) == 2 and all(0 <= error <= 1 for source, _, target in rows for error in (source, target))


def test_draws_errors_against_the_strength(tmp_path):
    found = against_strength(Digits(), tmp_path / "strength.png", strengths=(0.0, 1.0), steps=2, seeds=1)
    assert list(found) == [0.0, 1.0] and (tmp_path / "strength.png").stat().st_size > 2_000


def test_the_distance_is_two_for_domains_apart_and_small_for_one():
    torch.manual_seed(0)
    one = torch.randn(400, 4)
    assert proxy_distance(one, torch.randn(400, 4) + 9) > 1.9
    assert proxy_distance(one, torch.randn(400, 4)) < 0.5
