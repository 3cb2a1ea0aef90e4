"""Low-rank changes: nothing at first, a matrix of that rank afterwards, and gone once merged."""

import pytest
import torch
from torch import nn

from zoo.blocks.lora import LoRALinear, add_lora, merge_lora
from zoo.errors import InputError
from zoo.models.transformers.bert import BERT
from zoo.models.transformers.gpt import GPT


def gpt() -> GPT:
    torch.manual_seed(0)
    return GPT(20, 16, layers=2, heads=2, width=16).eval()


@pytest.mark.parametrize("make", [gpt, lambda: BERT(300, 16, layers=2, heads=2, width=24).eval()])
def test_nothing_changes_at_first_and_only_the_changes_learn(make):
    model = make()
    tokens = torch.randint(3, 20, (2, 9))
    before = model(tokens)
    layers = add_lora(model, rank=3)
    assert len(layers) == 4
    assert torch.equal(model(tokens), before)
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(learning) == 8 and all(name.endswith((".a", ".b")) for name in learning)


def test_a_merged_model_has_the_old_keys_and_gives_the_adapted_answers():
    model = gpt()
    keys, tokens = list(model.state_dict()), torch.randint(3, 20, (2, 9))
    old = model.blocks[0].attention.qkv.weight.clone()
    add_lora(model, rank=2, targets=("qkv", "down"))
    for module in model.modules():
        if isinstance(module, LoRALinear):
            nn.init.normal_(module.b)
    adapted = model(tokens)
    assert merge_lora(model) == 4
    assert list(model.state_dict()) == keys and all(p.requires_grad for p in model.parameters())
    torch.testing.assert_close(model(tokens), adapted, atol=1e-4, rtol=1e-4)
    assert torch.linalg.matrix_rank(model.blocks[0].attention.qkv.weight - old) == 2


def test_a_change_is_its_definition():
    linear = nn.Linear(5, 4)
    layer, x = LoRALinear(linear, rank=2, alpha=6.0), torch.randn(3, 5)
    nn.init.normal_(layer.b)
    torch.testing.assert_close(layer(x), x @ (linear.weight + 3 * layer.b @ layer.a).T + linear.bias)


def test_bad_ranks_and_names_are_refused_and_leave_the_model_alone():
    model = gpt()
    for bad in ({"rank": 0}, {"rank": 17}, {"rank": True}, {"targets": ("nothing",)}):
        with pytest.raises(InputError):
            add_lora(model, **bad)
    assert not any(isinstance(m, LoRALinear) for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())
