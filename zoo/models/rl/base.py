"""What all agents share: acting on observations, playing episodes, the link to the environment, and what is measured.

The environment is the data module (`datamodules.environment`), the agent is the LightningModule. In training the loader asks
`behave` for actions and hands back what they led to; afterwards a person asks `act`, `values` and `play`.

A subclass gives `build` (its networks, from its arguments), `decide` (actions) and, where it has one, `worth` (values).
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from zoo.core.batch import inputs_of
from zoo.core.checks import seeded_generator
from zoo.core.data import EnvironmentData, PlayedData
from zoo.core.metric import Better, entry
from zoo.core.module import ZooModule, init_arguments
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.rl.episodes import Episodes, play_episodes

TEST_EPISODES, TEST_SEED = 100, 10_000  # the episodes that are measured start from seeds 10,000 … 10,099


class Agent(ZooModule):
    """Base of the agents.

    A subclass takes these arguments, or some of them, and saves them as hyper-parameters:
        observations: numbers of an observation, or its shape; not used where `states` is given.
        actions: number of actions, or the dimension of continuous ones.
        states: number of states, where an observation is the number of a state.
        bounds: (lowest, highest) action, where actions are continuous.
        scale: what each number of an observation is divided by before a network sees it, or None.

    Shapes:
        observations: float [N, *shape], or int [N]; actions: int [N], or float [N, actions]; values: [N] or [N, actions].
    """

    task: ClassVar[str] = "reinforcement-learning"
    use: ClassVar[str] = (
        'print(model.play(5, path="episode.gif"))         # returns of five episodes; the first one is drawn\n'
        "env = model.environment()                        # gymnasium's own, as it was trained in\n"
        "obs, _ = env.reset(seed=0)\n"
        "print(model.act(obs))                            # an action for env.step; a batch of observations will do too"
    )
    continuous_allowed: ClassVar[bool] = False

    # What a subclass gives -------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Make the networks from `self.hparams`."""
        raise NotImplementedError

    def decide(self, obs: Tensor, greedy: bool, generator: torch.Generator) -> Tensor:
        """Actions for observations: the best, or drawn as in training."""
        raise NotImplementedError

    def worth(self, obs: Tensor) -> Tensor:
        """Expected discounted return of observations [N], or of every action there [N, A]."""
        raise InputError(f"{type(self).__name__} learns no values: take an agent with a critic, such as ppo or dqn")

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def act(self, obs: Any, greedy: bool = True, seed: int | None = None) -> Any:
        """The action for an observation as gymnasium gives it, or the actions for a batch of them.

        Args:
            obs: an observation or a batch: array, list, tensor or number of a state.
            greedy: the best action; else one drawn as the policy draws it.
            seed: of the draw.

        Returns:
            for one observation what `env.step` takes, an int or a float32 array; for a batch an array [N, …], or a tensor
            where a tensor was given.

        Raises:
            InputError: for a shape that isn't the environment's, or NaN.
        """
        x, single = self._observations(obs)
        action = self.decide(x, greedy, seeded_generator(self.device, seed)).cpu()
        if single:
            return int(action[0]) if self.hparams.get("bounds") is None else action[0].float().numpy()
        return action if isinstance(obs, Tensor) else action.numpy()

    @verb
    def values(self, obs: Any) -> Tensor:
        """Expected discounted return: [] or [A] for one observation, [N] or [N, A] for a batch.

        Agents that value actions (DQN, Q-learning) give one number an action, critics one a state.

        Raises:
            InputError: for a shape that isn't the environment's, or an agent that learns no values.
        """
        x, single = self._observations(obs)
        value = self.worth(x).float().cpu()
        return value[0] if single else value

    def play(
        self, episodes: int = 1, seed: int = 0, path: str | Path | None = None, env: Any = None, greedy: bool = True
    ) -> Episodes:
        """Play whole episodes on gymnasium's own environment; episode i starts from seed + i.

        Args:
            path: draw the first episode to this file: .gif moves, .png is a strip of moments.
            env: an id or a gymnasium environment in place of the one that the agent was trained in.
            greedy: take the best action each time; else draw as in training.

        Returns:
            the returns, an array [episodes] with `lengths` and `path` beside.

        Raises:
            InputError: for an environment that doesn't fit the agent, or has no time limit.
        """
        return play_episodes(self, episodes, seed, path, env, greedy)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Forward of a batch's observations, those of a rollout one after another."""
        return self(inputs_of(batch).reshape(-1, *self.shape))

    def environment(self, **kwargs: Any) -> Any:
        """The gymnasium environment that the agent was trained in; `kwargs` go before its own.

        Raises:
            InputError: for an agent that was trained in none yet.
        """
        from datamodules.simulators import make

        if self.data is None:
            raise InputError("this agent was trained in no environment yet: name one, such as env='CartPole-v1'")
        init = self.data["init"]
        return make(init["id"], **((init.get("kwargs") or {}) | kwargs))

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data: PlayedData | None = getattr(self.trainer, "datamodule", None)
        spaces = getattr(data, "spaces", None)
        if stage == "fit" and data is not None and spaces is not None:
            self.fit_spaces(spaces, data.id)
            self.data = {"name": data.name, "init": init_arguments(data)}

    def fit_spaces(self, spaces: Any, id: str) -> None:
        """Take on the shapes of an environment; a fresh agent of other shapes is built anew.

        Raises:
            InputError: for continuous actions where the agent takes numbered ones, or a trained agent of other shapes.
        """
        if spaces.continuous and not self.continuous_allowed:
            raise InputError(
                f"the actions of {id} are continuous, but {type(self).__name__} chooses among numbered ones: "
                "take reinforce, a2c, ppo or trpo"
            )
        wanted = {
            "observations": list(spaces.observations),
            "actions": spaces.actions,
            "states": spaces.states,
            "bounds": [spaces.low, spaces.high] if spaces.continuous else None,
        }
        changed = {k: v for k, v in wanted.items() if k in self.hparams and not self._same(k, self.hparams[k], v)}
        if not changed:
            return
        if self.name is not None:
            raise InputError(f"{self.name} was trained for other shapes than {id} has: {_listed(changed)}")
        if "observations" in changed and self.hparams.get("scale") is not None:
            changed["scale"] = None  # it was for other observations
        self.hparams.update(changed)
        self.build()
        self.to(self.device)

    def _same(self, name: str, mine: Any, wanted: Any) -> bool:
        if name == "observations":
            return self.hparams.get("states") is not None or self.shape == tuple(wanted)
        return (list(mine) if isinstance(mine, tuple) else mine) == wanted

    @torch.no_grad()
    def behave(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        """Actions of training for observations [n, …]: with the exploration that the method asks for."""
        return self.decide(obs.to(self.device), False, generator).cpu()

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 … 1: what learning rates and exploration depend on."""
        trainer = self._trainer
        if trainer is None:
            return 0.0
        batches, loop = max(1, trainer.num_training_batches), trainer.fit_loop.epoch_loop.batch_idx
        return min(1.0, (trainer.current_epoch + max(0, loop) / batches) / max(1, trainer.max_epochs or 1))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        if self.hparams.get("decay"):
            for optimizer in self.trainer.optimizers:  # linear to zero, by the share of the run
                for group in optimizer.param_groups:
                    group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1 - self.progress)

    def log_play(self, batch: dict[str, Tensor], **values: Tensor | float) -> None:
        """Log the return of training episodes, and an algorithm's own numbers, as means of the epoch."""
        if self._trainer is None:
            return
        if "recent" in batch and not batch["recent"].isnan():
            self.log("train/recent_return", batch["recent"].float(), on_step=False, on_epoch=True, batch_size=1)
        if "returns" in batch and len(batch["returns"]):
            shown = batch["returns"].float().mean()
            self.log(
                "train/return", shown, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch["returns"])
            )
        own = {f"train/{key}": float(value) for key, value in values.items()}
        self.log_dict(own, on_step=False, on_epoch=True, batch_size=1)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: EnvironmentData) -> list[dict[str, Any]]:
        """Mean, standard deviation and minimum of the returns of 100 greedy episodes on gymnasium's own environment."""
        from datamodules.simulators import make  # the only family whose measure is the environment itself

        played = self.play(TEST_EPISODES, TEST_SEED, env=lambda: make(data.id, **data.kwargs))
        how = f"{TEST_EPISODES} greedy episodes of gymnasium's {data.id} from seeds {TEST_SEED:,} on, last weights"
        numbers: dict[str, tuple[float, Better, str]] = {
            "return": (played.mean(), "higher", f"mean return; {how}"),
            "return_std": (played.std(), "lower", f"standard deviation of the return; {how}"),
            "return_min": (played.min(), "higher", f"least return; {how}"),
        }
        return [
            entry(data.id, "test", key, value, text, better=better) for key, (value, better, text) in numbers.items()
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        if (states := self.hparams.get("states")) is not None:
            return {"obs": torch.arange(min(states, 64))}
        return {"obs": torch.randn(16, *self.shape, generator=torch.Generator().manual_seed(0))}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """All outputs of forward for the fixed observations."""
        output = self(inputs["obs"])
        outputs = output if isinstance(output, tuple) else (output,)
        return {f"output{i}": value for i, value in enumerate(outputs)}

    def preview(self, path: Path) -> Path | None:
        """An episode, as a moving PNG; None where the environment can't be drawn."""
        from zoo.models.rl.drawing import save_moving

        if self.data is None:
            return None
        frames: list[Any] = []
        play_episodes(self, 1, TEST_SEED, None, None, True, frames)
        return save_moving(frames, path) if frames else None

    # Observations ----------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        if self.hparams.get("states") is not None:
            return ()
        size = self.hparams["observations"]
        return (size,) if isinstance(size, int) else tuple(size)

    @property
    def inputs(self) -> int:
        """Numbers that a network sees of one observation: those of its vector, or one for each state."""
        states = self.hparams.get("states")
        return int(np.prod(self.shape)) if states is None else states

    def encode_obs(self, obs: Tensor) -> Tensor:
        """Observations as rows [N, inputs] of a network: flattened, or the number of a state as a one-hot vector."""
        if (states := self.hparams.get("states")) is not None:
            return nn.functional.one_hot(obs.long(), states).float()
        x = obs.flatten(1).to(self.dtype if isinstance(self.dtype, torch.dtype) else torch.float32)
        scale = self.hparams.get("scale")
        return x if scale is None else x / x.new_tensor(scale)

    def _observations(self, obs: Any) -> tuple[Tensor, bool]:
        """A batch of checked observations, and whether one alone was given."""
        try:
            x = obs if isinstance(obs, Tensor) else torch.as_tensor(np.asarray(obs))
        except (TypeError, ValueError) as error:
            raise InputError(f"an observation is an array or a number, not {type(obs).__name__}: {error}") from None
        shape = self.shape
        single = tuple(x.shape) == shape
        if not single and (x.ndim == 0 or tuple(x.shape[1:]) != shape):
            raise InputError(
                f"an observation has the shape {list(shape)}, a batch [N, …]; this one has {list(x.shape)}"
            )
        x = x[None] if single else x
        if not len(x):
            raise InputError("there is no observation: the batch is empty")
        states = self.hparams.get("states")
        if states is None:
            x = x.float()
            if not x.isfinite().all():
                raise InputError("the observation holds NaN or infinite values")
        elif x.is_floating_point() or x.dtype == torch.bool or x.min() < 0 or x.max() >= states:
            raise InputError(
                f"an observation is the number of a state, 0 … {states - 1}, not {x.flatten()[:4].tolist()}"
            )
        return x.to(self.device), single


def network(
    inputs: int, hidden: list[int], outputs: int, *, gain: float = 1.0, activation: str = "tanh"
) -> nn.Sequential:
    """A multilayer perceptron with orthogonal weights: gain √2 inside, `gain` at its end (0.01 makes a policy undecided)."""
    kinds: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
    if activation not in kinds:
        raise InputError(f"activation is {activation!r}; it can be {' or '.join(kinds)}")
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), kinds[activation]()]
        inputs = width
    layers.append(nn.Linear(inputs, outputs))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain if layer is layers[-1] else 2**0.5)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def _listed(changed: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in changed.items())
