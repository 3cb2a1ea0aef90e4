"""Models that start from another's weights: a fresh one takes them over, a loaded checkpoint keeps its own to be tuned on."""

import lightning as L
import pytest
import torch

import zoo
from datamodules.base import TensorLoader
from zoo.models.diffusion.cfg import ConditionalDDPM
from zoo.models.diffusion.consistency import ConsistencyModel
from zoo.models.diffusion.controlnet import ControlNet
from zoo.models.diffusion.ddpm import DDPM
from zoo.models.diffusion.flow_matching import FlowMatching
from zoo.models.diffusion.kl_autoencoder import KLAutoencoder
from zoo.models.diffusion.latent import LatentDiffusion
from zoo.models.diffusion.ncsn import NCSN
from zoo.models.diffusion.score_sde import ScoreSDE
from zoo.models.diffusion.t2i_adapter import T2IAdapter
from zoo.store.folder import write

OF_DDPM = {cls: (DDPM, "base") for cls in (ConditionalDDPM, ConsistencyModel, FlowMatching, NCSN, ScoreSDE)}
OF_CFG = {cls: (ConditionalDDPM, "base") for cls in (ControlNet, T2IAdapter)}
PAIRS = {**OF_DDPM, **OF_CFG, LatentDiffusion: (KLAutoencoder, "autoencoder")}


SHAPE = (1, 8, 8)


class Squares(L.LightningDataModule):
    """Sixteen random images."""

    def tensors(self, part):
        return torch.arange(16 * 64).mul(37).remainder(256).byte().reshape(16, *SHAPE), torch.arange(16) % 10

    def train_dataloader(self):
        return TensorLoader(*self.tensors("train"), batch_size=4)


@pytest.mark.parametrize("cls", PAIRS, ids=lambda cls: cls.__name__)
def test_a_loaded_checkpoint_is_tuned_from_its_own_weights(cls, tmp_path):
    """With a learning rate of zero, training moves nothing: what is there afterwards is what training began with."""
    base_class, argument = PAIRS[cls]
    torch.manual_seed(0)
    source = base_class(SHAPE, width=8)
    width = {"width": 8} if argument == "base" else {"width": 8, "autoencoder_width": 8}
    model = cls(SHAPE, **width, **{argument: str(write(source, tmp_path / "source", preview=False))})
    fit(model)
    inherited = model.net if argument == "base" else model.autoencoder
    expected = source.net if argument == "base" else source
    assert all(torch.equal(inherited.state_dict()[k], v) for k, v in expected.state_dict().items())

    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    loaded = zoo.load(str(write(model, tmp_path / "tuned", preview=False)))
    before = {k: v.clone() for k, v in loaded.state_dict().items()}
    fit(loaded)
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, before[key]), key
    frozen = {k for k, v in loaded.named_parameters() if not v.requires_grad}
    assert frozen == {k for k, v in model.named_parameters() if not v.requires_grad}


def fit(model):
    model.configure_optimizers = lambda: torch.optim.SGD(model.parameters(), lr=0.0)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    L.Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", **quiet).fit(model, datamodule=Squares())


def test_thousands_of_images_are_drawn_on_the_gpu_if_there_is_one(monkeypatch):
    model, moved = DDPM((1, 8, 8), 8), []
    monkeypatch.setattr(model, "to", moved.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model.quickly()
    assert moved == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    model.quickly()
    assert moved == ["cuda"]
