"""One body with several heads: what serves one task is computed once and serves the others too (Caruana, 1997).

loss = Σ_task w_task loss_task(head_task(body(x))),      so that the gradients of all heads add up in the body
"""

from collections.abc import Mapping

from torch import Tensor, nn

from zoo.errors import InputError


class Heads(nn.Module):
    """A body and a head a task.

    Args:
        body: inputs to features [N, D].
        heads: for each task's name a module from features to its outputs.

    Raises:
        InputError: without a head.
    """

    def __init__(self, body: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not heads:
            raise InputError("there is no head: give one for each task")
        self.body, self.heads = body, nn.ModuleDict(heads)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x)
        return {task: head(features) for task, head in self.heads.items()}

    def loss(self, found: dict[str, Tensor], weights: Mapping[str, float] | None = None) -> Tensor:
        """The weighted sum of the tasks' losses `found`; a task without a weight counts once.

        Raises:
            InputError: for a weight or a loss of a task without a head.
        """
        for name in (*found, *(weights or {})):
            if name not in self.heads:
                raise InputError(f"there is no head {name!r}; there are {', '.join(self.heads)}")
        losses = [(weights or {}).get(task, 1.0) * loss for task, loss in found.items()]
        if not losses:
            raise InputError("there is no loss to add up")
        return sum(losses[1:], losses[0])
