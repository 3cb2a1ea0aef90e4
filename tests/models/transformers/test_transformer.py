"""The encoder-decoder Transformer against torch's own from the same weights, its waves, and its attention."""

import math

import pytest
import torch
from torch import nn

import zoo
from tests.models.text.test_translation import batch, make
from zoo.errors import InputError
from zoo.models.transformers.transformer import Attention, Transformer, waves


def copy(own: Attention, theirs: nn.MultiheadAttention) -> None:
    for name in ("weight", "bias"):
        parts = [getattr(part, name) for part in (own.query, own.key_value)]
        getattr(theirs, f"in_proj_{name}").data.copy_(torch.cat(parts))
        getattr(theirs.out_proj, name).data.copy_(getattr(own.out, name))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_equals_the_transformer_of_torch(activation):
    torch.manual_seed(0)
    model = Transformer(270, 12, layers=2, heads=3, inner=20, activation=activation).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    theirs = nn.Transformer(12, 3, 2, 2, 20, activation=activation, batch_first=True, norm_first=True).eval()
    for own, other in (
        *zip(model.encoder, theirs.encoder.layers, strict=True),
        *zip(model.decoder, theirs.decoder.layers, strict=True),
    ):
        copy(own.attention, other.self_attn)
        pairs = [
            (own.norm1, other.norm1),
            (own.norm2, other.norm2),
            (own.mlp[0], other.linear1),
            (own.mlp[2], other.linear2),
        ]
        if hasattr(own, "cross"):
            copy(own.cross, other.multihead_attn)
            pairs.append((own.norm3, other.norm3))
        for mine, its in pairs:
            its.load_state_dict(mine.state_dict())
    theirs.encoder.norm.load_state_dict(model.encoder_norm.state_dict())
    theirs.decoder.norm.load_state_dict(model.decoder_norm.state_dict())
    sources, lengths, targets = batch()
    padding = torch.arange(7) >= lengths[:, None]
    out = theirs(
        model.at_places(sources),
        model.at_places(targets),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(5),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    torch.testing.assert_close(model(sources, lengths, targets), out @ model.embedding.weight.T)


def test_waves_tell_places_apart_and_shifts_alike():
    table = waves(0, 200, 16)
    assert torch.equal(waves(7, 3, 16), table[7:10])
    assert table[3, 0] == pytest.approx(math.sin(3)) and table[3, 1] == pytest.approx(math.cos(3))
    assert table[5, 14] == pytest.approx(math.sin(5 * 10000 ** (-14 / 16)))
    near = table @ table.T  # depends on the distance alone
    torch.testing.assert_close(near[10:110, 10:110], near[50:150, 50:150], atol=1e-3, rtol=0)


@torch.inference_mode()
def test_a_sentence_longer_than_any_in_training_is_translated():
    model = make("transformer")
    assert isinstance(model.translate("Hund " * 100, beams=1), str)


def test_the_attention_is_that_of_the_last_layer():
    model = make("transformer")
    sources, _, targets = batch()
    weight = model.look(sources[:1], targets[:1])
    memory, hidden = model.encode(sources[:1], torch.tensor([7]))
    seen = model.decode(targets[:1], memory, hidden)[2]
    assert seen.shape == (1, 2, 5, 7) and (weight >= 0).all()
    torch.testing.assert_close(weight, seen[0].mean(0))


def test_bad_sizes_are_named():
    for options, word in (
        ({"width": 10, "heads": 4}, "fall into 4 heads"),
        ({"width": 9, "heads": 3}, "even"),
        ({"layers": 0}, "layers"),
        ({"inner": 0}, "inner"),
        ({"activation": "tanh"}, "'tanh'"),
    ):
        with pytest.raises(InputError, match=word):
            zoo.create("transformer", **options)
