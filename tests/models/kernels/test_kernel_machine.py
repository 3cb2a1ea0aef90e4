"""Kernel machines: scikit-learn's ridge regression with the same kernel, and what can't be fitted."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from zoo.errors import InputError, UnknownNameError
from zoo.models.kernels.kernel_machine import KernelMachine
from zoo.theory import kernels


def images(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(n) % 3
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(3, 1, 5, 5, generator=generator)
    noise = torch.rand(n, 1, 5, 5, generator=generator)
    return ((0.8 * prototypes[y] + 0.2 * noise) * 255).round() / 255, y


@pytest.mark.parametrize("name", ["linear", "rbf", "nngp", "ntk"])
def test_agrees_with_kernel_ridge_regression(name):
    x, y = images()
    machine = KernelMachine(3, image_size=(5, 5), kernel=name, ridge=0.01, layers=2).fit(x[:30], y[:30])
    rows = machine.directions(x).double()
    options = {"rbf": (0.5,), "nngp": (2,), "ntk": (2,), "linear": ()}[name]
    gram = getattr(kernels, name)(rows, rows[:30], *options)
    alpha = 0.01 * gram[:30].diagonal().mean().item()
    other = KernelRidge(alpha=alpha, kernel="precomputed").fit(gram[:30].numpy(), np.eye(3)[y[:30]] - 1 / 3)
    np.testing.assert_allclose(machine(x).detach(), other.predict(gram.numpy()), atol=2e-3)
    assert (machine(x[30:]).argmax(1) == y[30:]).all()


def test_what_is_stored_travels(tmp_path):
    import zoo
    from zoo.core.images import Transform

    x, y = images()
    machine = KernelMachine(3, image_size=(5, 5), examples=7).fit(x, y)
    machine.transform, machine.classes = Transform((5, 5), "L", [0.0], [1.0]), ["a", "b", "c"]
    again = zoo.load(machine.save_pretrained(tmp_path / "machine"))
    assert again.stored.shape == (40, 25) and again.stored.dtype == torch.uint8
    torch.testing.assert_close(again(x), machine.eval()(x))
    assert again.predict((255 * x[0]).to(torch.uint8), top=1)[0][0] == "a"


def test_bad_input():
    x, y = images()
    with pytest.raises(UnknownNameError, match="ntk"):
        KernelMachine(kernel="ntkk")
    with pytest.raises(InputError, match="scale"):
        KernelMachine(scale=0)
    machine = KernelMachine(3, image_size=(5, 5), ridge=0.0)
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        machine.fit(x - 1, y)
    with pytest.raises(InputError, match="classes run"):
        machine.fit(x, y + 1)
    with pytest.raises(InputError, match="at least one"):
        machine.fit(x[:0], y[:0])
    with pytest.raises(InputError, match="singular"):
        machine.fit(torch.cat([x, x]), torch.cat([y, y]))


def test_softening_is_a_gaussian_filter():
    from scipy.ndimage import gaussian_filter

    x, y = images()
    machine = KernelMachine(3, image_size=(5, 5), blur=1.0).fit(x, y)
    soft = gaussian_filter(x.double().numpy(), 1.0, mode="mirror", truncate=3, axes=(2, 3)).reshape(len(x), -1)
    np.testing.assert_allclose(machine.mean, soft.mean(0), atol=1e-6)
    rows = soft - soft.mean(0)
    np.testing.assert_allclose(machine.directions(x), rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-5)
    with pytest.raises(InputError, match="blur"):
        KernelMachine(3, image_size=(5, 5), blur=5.0)
