"""Deep belief network (Hinton, Osindero and Teh, 2006; Hinton and Salakhutdinov, 2006), trained layer by layer.

The hidden units of a trained restricted Boltzmann machine are the data of the next one. The stack is a directed model under one
undirected machine, and a variational bound on its likelihood is

    log p(v) ≥ E_q [ Σ_l log p(h_(l-1) | h_l) + log p_top(h_(L-1)) − Σ_l log q(h_l | h_(l-1)) ],   h_0 = v,  l = 1 … L − 1

with q the upward conditionals. A second machine that begins as the first one turned upside down has p_top(h_1) = the first one's
marginal, so the bound is exact there, and training the second raises it.

Each layer is trained by CD-1 on probabilities: h is drawn, the reconstruction and its hidden units are means. The network
of means that results is a start for a classifier, see `dbn_classifier.py`.

Departures from the papers: the sizes are 500-500-2000 throughout, the digits' labels are not used, and no second phase
tunes the layers together as a generator (up-down, or wake-sleep): the stack encodes well and draws badly, so it has no `sample`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.blocks.layers import Layers
from zoo.core.batch import images_of
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, split_images
from zoo.models.energy.rbm import Machine, coins, log_partition


class DBN(Coder):
    """A stack of restricted Boltzmann machines.

    Args:
        image_shape: (channels, height, width).
        hidden: numbers of hidden units, from the lowest layer to the top.
        epochs_per_layer: epochs after which the next machine is trained; the last one trains until the end.
        temperatures, runs: steps and chains of the AIS run that estimates log Z of the top machine when training ends.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes: the top layer's means, [N, hidden[-1]].
    """

    log_partition: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        hidden: tuple[int, ...] = (500, 500, 2000),
        *,
        epochs_per_layer: int = 8,
        temperatures: int = 1000,
        runs: int = 50,
    ) -> None:
        if not hidden:
            raise InputError("hidden names the widths of the layers: give at least one")
        super().__init__(image_shape, check_count(hidden[-1], "each of hidden"))
        self.save_hyperparameters()
        self.epochs_per_layer = check_count(epochs_per_layer, "epochs_per_layer")
        self.temperatures, self.runs = check_count(temperatures, "temperatures"), check_count(runs, "runs")
        widths = [self.num_pixels, *hidden]
        self.machines = Layers(Machine(below, above) for below, above in zip(widths, hidden, strict=False))
        self.register_buffer(
            "log_partition", torch.tensor([0.0, torch.inf])
        )  # of the top machine, and its standard error
        self._started: set[int] = set()

    def up(self, v: Tensor, layers: int) -> Tensor:
        """Means of layer number `layers` for pixels [N, pixels]."""
        for machine in self.machines[:layers]:
            v = machine.up(v).sigmoid()
        return v

    def codes(self, x: Tensor) -> Tensor:
        return self.up(x.flatten(1), len(self.machines))

    def pixels(self, z: Tensor) -> Tensor:
        for machine in reversed(list(self.machines)):
            z = machine.down(z).sigmoid()
        return z.reshape(-1, *self.image_shape)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def elbo(self, x: Images, *, samples: int = 10, seed: int | None = None) -> Tensor:
        """The variational bound on log p(x) [N] in nats of binary images, its mean over `samples` upward passes.

        The bound holds for the stored log Z of the top machine, which is itself an estimate.

        Raises:
            InputError: for images that aren't binary, or a model whose log Z was never estimated.
        """
        x = self.check_images(x)
        if ((x != 0) & (x != 1)).any():
            raise InputError("this is a likelihood of binary images: round them, or draw pixels by their grey value")
        if not self.log_partition[1].isfinite():
            raise InputError("log Z is unknown: estimate it once by model.estimate_log_partition()")
        generator, total = seeded_generator(self.device, seed), torch.zeros(len(x), device=self.device)
        for _ in range(check_count(samples, "samples")):
            v = x.flatten(1).to(self.device, self.dtype)
            for machine in self.machines[:-1]:
                up = machine.up(v)
                h = coins(up.sigmoid(), generator)
                total += bernoulli(v, machine.down(h)) - bernoulli(h, up)
                v = h
            total -= self.machines[-1].free_energy(v) + self.log_partition[0]
        return total / samples

    def estimate_log_partition(
        self, temperatures: int | None = None, runs: int | None = None, *, seed: int = 0
    ) -> tuple[float, float]:
        """Estimate log Z of the top machine by AIS from its own visible biases, store it, and return it with its error."""
        top = self.machines[-1]
        found = log_partition(
            top, top.visible_bias.detach(), temperatures or self.temperatures, runs or self.runs, seed
        )
        self.log_partition.copy_(torch.tensor(found))
        return found

    # Training --------------------------------------------------------------------------------------------------------

    @property
    def layer(self) -> int:
        """Index of the machine that is being trained."""
        return min(self.current_epoch // self.epochs_per_layer, len(self.machines) - 1)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        layer = self.layer
        machine, x = self.machines[layer], images_of(batch, self.image_shape).flatten(1)
        with torch.no_grad():
            v = self.up(coins(x), layer)  # probabilities above the pixels
            if layer not in self._started and self.current_epoch % self.epochs_per_layer == 0 and batch_idx == 0:
                machine.visible_bias.copy_(self.up(x, layer).mean(0).clamp(0.01, 0.99).logit())
            self._started.add(layer)
            h = coins(machine.up(v).sigmoid())
            again = machine.down(h).sigmoid()
        gap = machine.free_energy(v).mean() - machine.free_energy(again).mean()
        error = (v - again).square().mean()
        self.log_train(error=error)
        return gap - gap.detach() + error  # the gap has the gradient but says nothing of progress, the error does

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = images_of(batch, self.image_shape)
        self.log("val/mse", (self(x) - x).square().mean(), prog_bar=True, batch_size=len(x))

    def on_train_end(self) -> None:
        self.estimate_log_partition()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, weight_decay=2e-4)

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """The bound on the likelihood of the binarised test split, and the error of reconstructions through all layers."""
        x = split_images(data, "test")
        binary = coins(x, seeded_generator(x.device, 0))
        bound = torch.cat([self.elbo(part, seed=0) for part in binary.split(2000)]).double()
        z, error = self.log_partition.tolist()
        how = (
            f"minus the variational bound, nats an image, ten upward passes; log Z of the top machine = {z:.2f} with standard "
            f"error {error:.2f} by AIS, {self.temperatures:,} temperatures, {self.runs} chains; pixels binarised at random by "
            f"their grey value, seed 0; {len(x):,} test images; standard error over them {(bound.var() / len(x)).sqrt():.2f}"
        )
        mse = torch.cat([(self(part) - part).square().flatten(1).mean(1) for part in x.split(2000)]).mean().item()
        passes = f"mean squared error a pixel after a pass of means up and down all layers, {len(x):,} test images"
        return [
            entry(data, "test", "negative_elbo", -bound.mean(), how, better="lower"),
            entry(data, "test", "mse", mse, passes, better="lower"),
        ]


def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) [N] of binary x [N, D] whose units have the log-odds `logits`."""
    return (x * logits - F.softplus(logits)).sum(-1)
