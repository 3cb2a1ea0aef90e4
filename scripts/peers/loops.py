"""Trainings that are measured beside each other: the zoo's, a bare loop, and Stable-Baselines3's."""

from typing import Any

import lightning as L
import torch

import zoo
from datamodules.base import TensorLoader

QUIET: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
PLAYED = 8192  # steps of the environment, in the settings of stable-baselines3's zoo for CartPole


def trainer_epoch(x: torch.Tensor, y: torch.Tensor) -> None:
    """One epoch as the recipes run it: Trainer without logger, rare logging, no bar refresh between."""
    torch.manual_seed(0)
    model = zoo.create("lenet5", batch_norm=True)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", enable_progress_bar=False, **QUIET)
    trainer.fit(model, TensorLoader(x, y, 256, shuffle=True))


def bare_epoch(x: torch.Tensor, y: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = zoo.create("lenet5", batch_norm=True)
    optimizer = model.configure_optimizers()
    for images, labels in TensorLoader(x, y, 256, shuffle=True):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def zoo_ppo() -> None:
    from datamodules.environment import Environment

    agent = zoo.create("ppo", epochs=20, minibatch=256, gamma=0.98, lam=0.8)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", enable_progress_bar=False, **QUIET)
    trainer.fit(agent, Environment("CartPole-v1", 8, steps=32, rollouts=PLAYED // 256))


def baselines_ppo() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    settings: dict[str, Any] = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8}
    PPO("MlpPolicy", make_vec_env("CartPole-v1", 8), learning_rate=1e-3, ent_coef=0.0, device="cpu", **settings).learn(
        PLAYED
    )
