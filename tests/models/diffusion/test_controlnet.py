"""ControlNet and T2I-Adapter: each starts as its base to the bit, trains nothing of it, and says what control it takes."""

import pytest
import torch

from zoo.blocks.edges import edge_map
from zoo.errors import InputError
from zoo.models.diffusion.cfg import ConditionalDDPM
from zoo.models.diffusion.controlnet import ControlNet
from zoo.models.diffusion.t2i_adapter import T2IAdapter

GENERATOR = torch.Generator().manual_seed(0)
X, T, LABELS = torch.randn(3, 1, 8, 8, generator=GENERATOR), torch.tensor([5, 30, 59]), torch.tensor([0, 2, 1])
EDGES = (torch.rand(3, 1, 8, 8, generator=GENERATOR) < 0.3).float()


def trained_base() -> ConditionalDDPM:
    torch.manual_seed(0)
    base = ConditionalDDPM((1, 8, 8), 8, num_classes=3, timesteps=60).eval()
    for parameter in base.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.1)
    return base


def adopted(cls: type[ControlNet] = ControlNet) -> tuple[ConditionalDDPM, ControlNet]:
    base = trained_base()
    model = cls((1, 8, 8), 8, num_classes=3, timesteps=60, base="a base")
    model.start_from(base)
    return base, model.eval()


@pytest.mark.parametrize("cls", [ControlNet, T2IAdapter])
@torch.no_grad()
def test_at_initialisation_it_is_its_base_to_the_bit(cls):
    base, model = adopted(cls)
    assert torch.equal(model(X, T, LABELS, EDGES), base(X, T, LABELS))
    assert torch.equal(model(X, T, None, EDGES), base(X, T))
    assert torch.equal(model(X, T, LABELS), base(X, T, LABELS))
    options = {"seed": 1, "steps": 3, "labels": LABELS, "guidance": 2.0}
    torch.testing.assert_close(model.sample(3, control=EDGES, **options), base.sample(3, **options), rtol=0, atol=1e-4)


def test_the_branch_is_a_copy_of_the_way_down():
    base, model = adopted()
    for key, value in model.branch.copy.state_dict().items():
        assert torch.equal(value, base.net.state_dict()[key]), key
    assert not hasattr(model.branch.copy, "up") and not hasattr(model.branch.copy, "head")


def test_training_moves_the_branch_alone_and_its_zeros_first():
    _, model = adopted()
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for step in range(2):
        optimizer.zero_grad()
        model.loss(torch.rand(8, 1, 8, 8), labels=torch.zeros(8).long()).backward()
        inner = model.branch.copy.stem.weight.grad
        assert (inner is None or not inner.any()) == (step == 0), "gradients pass the zero convolutions once they moved"
        optimizer.step()
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in after if key.startswith(("net.", "label.")))
    assert not torch.equal(before["branch.middle.weight"], after["branch.middle.weight"])
    assert not torch.equal(before["branch.hint.5.weight"], after["branch.hint.5.weight"])
    assert not torch.equal(model(X, T, LABELS, EDGES), model(X, T, LABELS))


def test_an_adapter_learns_alone_and_sees_the_control_alone():
    _, model = adopted(T2IAdapter)
    assert all(name.startswith("branch.") for name, p in model.named_parameters() if p.requires_grad)
    for out in model.branch.outs:
        torch.nn.init.normal_(out.weight, std=0.3)
    extra = torch.randn(3, 32)
    first, again = (model.branch(x, t, extra, EDGES)["added"] for x, t in ((X, T), (2 * X, T + 1)))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert [tuple(a.shape[1:]) for a in first] == [(8, 4, 4), (16, 2, 2)]  # both levels of the U-Net, of folded pixels
    moved = [model(X, T, LABELS, EDGES)]
    for level in range(2):  # every level matters
        torch.nn.init.zeros_(model.branch.outs[level].weight)
        moved.append(model(X, T, LABELS, EDGES))
    assert not torch.equal(moved[0], moved[1]) and not torch.equal(moved[1], moved[2])
    assert torch.equal(moved[2], model(X, T, LABELS))


def test_edges_of_a_square_are_its_outline():
    x = torch.zeros(1, 1, 9, 9)
    x[:, :, 2:7, 2:7] = 1
    edges = edge_map(x)[0, 0]
    assert edges[4, 4] == 0 and edges[0, 0] == 0  # inside and far away
    assert edges[2, 2:7].all() and edges[1, 1:8].all()
    assert not edge_map(torch.full((1, 1, 9, 9), 0.7)).any()


def test_one_control_serves_all_images():
    _, model = adopted()
    torch.nn.init.ones_(model.branch.middle.weight)
    each = model.sample(2, control=EDGES[:1].repeat(2, 1, 1, 1), steps=2, seed=0)
    for one in (EDGES[0], EDGES[:1]):
        assert torch.equal(model.sample(2, control=one, steps=2, seed=0), each)


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (torch.zeros(2, 1, 9, 9), r"the control is \[2, 1, 8, 8\], not"),
        (torch.zeros(2, 3, 8, 8), "resize"),
        (torch.zeros(3, 1, 8, 8), "need 2 controls"),
        (torch.full((2, 1, 8, 8), 2.0), "finite values in 0..1"),
        (torch.full((2, 1, 8, 8), float("nan")), "finite"),
        (torch.zeros(2, 1, 8, 8).numpy(), "a tensor as edge_map"),
    ],
)
def test_bad_controls_are_refused(control, message):
    with pytest.raises(InputError, match=message):
        adopted()[1].sample(2, control=control)


def test_one_control_serves_all_and_another_kind_of_base_is_refused():
    _, model = adopted()
    assert model.sample(2, control=EDGES[0], steps=2, seed=0).shape == (2, 1, 8, 8)
    with pytest.raises(InputError, match="no class-conditional"):
        model.start_from(torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match="needs labels"):
        model.sample(2, control=EDGES[:2], guidance=2.0)
    with pytest.raises(InputError, match="batch_size must be"):
        model.sample(2, control=EDGES[:2], batch_size=0)
