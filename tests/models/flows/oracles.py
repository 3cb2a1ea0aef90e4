"""What a bijection is held to: its inverse gives the input back, and its log-determinant is autograd's."""

import torch
from torch import Tensor, nn

from zoo.models.flows.bijections import Bijection


def shaken(module: nn.Module, std: float = 0.3) -> nn.Module:
    """The module in evaluation mode with random weights where it starts at zero."""
    for parameter in module.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=std)
    return module.eval()


def jacobian_log_det(bijection: Bijection, x: Tensor) -> Tensor:
    """log |det ∂f/∂x| of every sample by autograd, [N]."""

    def flat(v: Tensor, shape: torch.Size) -> Tensor:
        return bijection(v.reshape(1, *shape))[0].flatten()

    jacobians = [torch.autograd.functional.jacobian(lambda v: flat(v, x.shape[1:]), one.flatten()) for one in x]
    return torch.linalg.slogdet(torch.stack(jacobians)).logabsdet


def check_bijection(bijection: Bijection, x: Tensor) -> None:
    """In float64, where rounding can't hide a wrong formula; and the inverse in float32 to 1e-4."""
    with torch.no_grad():
        z, _ = bijection(x)
        assert z.shape[0] == len(x) and z[0].numel() == x[0].numel()
        assert (z.reshape(x.shape) - x).abs().max() > 1e-3, "it does nothing"
        torch.testing.assert_close(bijection.inverse(z), x, rtol=0, atol=1e-4)
    bijection.double()
    x = x.double()
    with torch.no_grad():
        z, log_det = bijection(x)
        torch.testing.assert_close(bijection.inverse(z), x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_det, jacobian_log_det(bijection, x), rtol=1e-8, atol=1e-8)
