"""Self-organising maps: the batch rule by hand, MiniSom's measures of the same weights, and a map that stays unfolded."""

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from zoo.errors import InputError
from zoo.models.prototypes.som import SOM


class Square(L.LightningDataModule):
    """Points of the unit square."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0))
        self.y = (self.x[:, 0] > 0.5).long()

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        return self.x, self.y

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(self.x, self.y), batch_size=500)


def trained(tmp_path) -> SOM:
    som = SOM((2,), (8, 8), radius=(4.0, 0.7), num_classes=2)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(max_epochs=15, accelerator="cpu", default_root_dir=tmp_path, enable_checkpointing=False, **quiet).fit(
        som, datamodule=Square()
    )
    return som


def test_a_uniform_square_stays_unfolded_and_classes_are_separated(tmp_path):
    som, data = trained(tmp_path), Square()
    assert som.topographic_error(data.x) < 0.05 and som.quantisation_error(data.x) < 0.08
    assert (som.predict_proba(data.x).argmax(1) == data.y).double().mean() > 0.95
    assert som.predict(data.x[:2], top=1)[0][0][0] in ("0", "1")
    assert som.umatrix().shape == (8, 8) and som.umatrix().max() < 0.4


def test_errors_agree_with_minisom(tmp_path):
    minisom = pytest.importorskip("minisom")
    som, x = trained(tmp_path), Square().x
    other = minisom.MiniSom(8, 8, 2)
    other._weights = som.prototypes.numpy().astype(np.float64).reshape(8, 8, 2)
    assert som.quantisation_error(x) == pytest.approx(other.quantization_error(x.numpy()), rel=1e-4)
    assert som.topographic_error(x) == pytest.approx(other.topographic_error(x.numpy()), abs=1e-3)
    assert [tuple(place) for place in som.bmu(x[:20]).tolist()] == [other.winner(point.numpy()) for point in x[:20]]


def test_the_batch_rule_by_hand():
    som = SOM((1,), (1, 3), radius=(1.0, 1.0))
    som._hits, som._sums = torch.tensor([2.0, 0.0, 1.0]), torch.tensor([[4.0], [0.0], [9.0]])
    som.update(1.0)
    near, far = np.exp(-0.5), np.exp(-2.0)
    expected = [(4 + far * 9) / (2 + far), (near * 4 + near * 9) / (near * 3), (far * 4 + 9) / (far * 2 + 1)]
    np.testing.assert_allclose(som.prototypes[:, 0], expected, rtol=1e-5)


def test_the_radius_shrinks_geometrically():
    som = SOM(radius=(10.0, 0.1))
    assert [som.sigma(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([10, 1, 0.1])


def test_bad_input():
    with pytest.raises(InputError, match="one unit"):
        SOM(grid=(1, 1))
    for radius in ((1.0, 0.0), (1.0, 2.0)):
        with pytest.raises(InputError, match="radius"):
            SOM(radius=radius)
    som = SOM((1, 2, 2), (2, 2))
    with pytest.raises(InputError, match="NaN"):
        som.bmu(torch.full((1, 1, 2, 2), float("nan")))
    with pytest.raises(InputError, match="4 pixels"):
        som.bmu(torch.zeros(1, 1, 3, 3))
    with pytest.raises(InputError, match="no labels"):
        som.predict_proba(torch.zeros(1, 1, 2, 2))
