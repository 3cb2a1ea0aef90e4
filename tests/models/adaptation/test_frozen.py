"""Networks that learn another task by few parameters: what is frozen stays bit for bit, what is new starts at nothing."""

import pytest
import torch

import zoo
from tests.tiny import TINY
from zoo.errors import InputError
from zoo.models.adaptation.adapter_bert import AdapterBERT
from zoo.models.adaptation.reprogrammed import ReprogrammedGPT, ReprogrammedInput
from zoo.models.adaptation.residual_adapter import ResidualAdapter
from zoo.models.convnets.resnet import CIFARResNet
from zoo.models.transformers.bert import BERT
from zoo.models.transformers.gpt import GPT


def trained(name: str, part: str, steps: int = 3):
    """A tiny model after some steps, and the tensors of its frozen part before them."""
    torch.manual_seed(0)
    model = zoo.create(name, **TINY[name].init).train()
    model.log_train = lambda **_: None
    before = {k: v.clone() for k, v in model.get_submodule(part).state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        model.training_step(TINY[name].batch(), step).backward()
        optimizer.step()
    return model, before


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("residual-adapter", "shared"),
        ("reprogrammed-gpt", "gpt"),
        ("reprogrammed-input", "frozen"),
        ("adapter-bert", "bert"),
    ],
)
def test_what_is_frozen_is_bit_equal_after_training_and_something_learnt(name, part):
    model, before = trained(name, part)
    after = model.get_submodule(part).state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    learning = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert part not in learning and learning
    assert not model.get_submodule(part).training


def resnet(**init) -> CIFARResNet:
    torch.manual_seed(1)
    model = CIFARResNet(depth=8, width=8, **init).train()
    model(torch.randn(16, 3, 16, 16) + 0.3)  # running statistics of their own
    return model.eval()


def test_adapters_of_zero_are_the_base_and_its_own_answers_never_change():
    base, x = resnet(), torch.randn(4, 3, 16, 16)
    model = ResidualAdapter(depth=8, width=8)
    model.start_from(base)
    model.head.load_state_dict(base.head.state_dict())
    torch.testing.assert_close(model.eval()(x), base(x))
    for adapter in model.adapters:
        torch.nn.init.normal_(adapter.weight)
    assert not torch.allclose(model(x), base(x))
    assert torch.equal(model.base_logits(x), base(x))


def test_a_domain_adds_less_than_an_eighth():
    model = ResidualAdapter()
    base = sum(p.numel() for p in model.shared.parameters())
    assert base == 269_722 and model.new_parameters() < 0.13 * base
    filters = [conv.weight.numel() for conv in model.convolutions()]
    assert len(filters) == 19 and all(conv.kernel_size == (3, 3) for conv in model.convolutions())


def test_full_fine_tuning_moves_the_filters_and_leaves_the_adapters_out():
    model = ResidualAdapter(depth=8, width=8, learn="everything").train()
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("adapters") for name in learning)
    assert sum(name.startswith("shared") for name in learning) == 7


def test_grey_images_fill_the_three_channels():
    model, x = ResidualAdapter(in_channels=1, depth=8, width=8).eval(), torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(model(x), model(x.expand(-1, 3, -1, -1)))


def test_reprogrammed_gpt_runs_the_language_models_own_blocks():
    torch.manual_seed(0)
    init = {"layers": 2, "heads": 2, "width": 16, "activation": "relu2", "qk_norm": True}
    base = GPT(65, 64, **init).eval()
    model = ReprogrammedGPT(context=64, **init).eval()
    model.start_from(base)
    x = torch.randn(3, 1, 28, 28)
    words = model.features(x)["words"]
    assert words.shape == (3, 49, 16)
    base.embedding.weight.data = torch.cat([words[0].detach(), base.embedding.weight.data])[:65]
    states = base.hidden(torch.arange(49)[None])
    torch.testing.assert_close(model.features(x[:1])["embedding"], states[:, -1])


def test_patches_are_read_row_by_row():
    model = ReprogrammedGPT(patch=14, context=8, layers=1, heads=2, width=8).eval()
    x = torch.zeros(1, 1, 28, 28)
    x[..., :14, 14:] = 1
    plain = model.features(torch.zeros(1, 1, 28, 28))["words"]
    moved = (model.features(x)["words"] - plain).abs().sum(2)[0]
    assert (moved > 0).tolist() == [False, True, False, False]


def test_the_border_never_covers_the_picture():
    model = ReprogrammedInput(depth=8, size=12).eval()
    torch.nn.init.constant_(model.border, 5.0)
    x = torch.rand(2, 1, 12, 12)
    program = model.program(x)
    torch.testing.assert_close(program[:, :, 10:22, 10:22], x.expand(-1, 3, -1, -1))
    assert (program[:, :, :10] > 2.4).all() and (program[:, :, :, 22:] > 2.4).all()
    torch.testing.assert_close(model(x), model.frozen(program))


def test_bert_with_new_adapters_is_the_base():
    torch.manual_seed(0)
    init = {"layers": 2, "heads": 2, "width": 24}
    base = BERT(300, 32, **init).eval()
    model = AdapterBERT(3, 300, context=32, bottleneck=4, **init).eval()
    model.start_from(base)
    tokens = torch.randint(3, 300, (2, 9))
    torch.testing.assert_close(model.states(tokens), base.states(tokens))
    torch.testing.assert_close(model(tokens), model.head(base.states(tokens).mean(1)))
    torch.nn.init.normal_(model.adapters[0][0].up.weight)
    assert not torch.allclose(model.states(tokens), base.states(tokens))


def test_filling_changes_no_logit():
    model = AdapterBERT(3, 300, context=32, layers=2, heads=2, width=24, bottleneck=4).eval()
    tokens = torch.randint(3, 300, (2, 9))
    filled = torch.nn.functional.pad(tokens, (0, 5))
    torch.testing.assert_close(model(filled, torch.tensor([9, 9])), model(tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: ResidualAdapter(in_channels=2), "1 or 3"),
        (lambda: ResidualAdapter(learn="all"), "learn"),
        (lambda: ReprogrammedGPT(patch=5), "multiple"),
        (lambda: ReprogrammedGPT(patch=2), "fit into"),
        (lambda: ReprogrammedInput(num_classes=11), "can't be read"),
        (lambda: ReprogrammedInput(size=40), "below canvas"),
        (lambda: AdapterBERT(bottleneck=-1), "bottleneck"),
    ],
)
def test_bad_arguments_are_refused(make, word):
    with pytest.raises(InputError, match=word):
        make()


@pytest.mark.parametrize(
    ("model", "base"),
    [
        (lambda: ResidualAdapter(depth=14), lambda: resnet()),
        (lambda: ResidualAdapter(depth=8), lambda: GPT(5, 8, layers=1, width=8)),
        (lambda: ReprogrammedGPT(layers=1), lambda: GPT(65, 128, layers=2)),
        (lambda: ReprogrammedInput(depth=14), lambda: resnet()),
        (lambda: AdapterBERT(2, 300, layers=1), lambda: GPT(5, 8, layers=1, width=8)),
    ],
)
def test_bases_of_another_kind_or_size_are_refused(model, base):
    with pytest.raises(InputError, match=r"is no .* of the sizes"):
        model().start_from(base())
