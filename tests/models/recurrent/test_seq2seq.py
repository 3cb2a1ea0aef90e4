"""Attention by its equation; what holds for every translator is in tests/text/test_translation.py."""

import pytest
import torch

from tests.models.text.test_translation import batch, make
from zoo.errors import InputError
from zoo.models.recurrent.seq2seq import AttentionSeq2Seq


def test_attention_by_its_equation():
    model, (sources, lengths, targets) = make("attention-seq2seq"), batch()
    memory, real, state = model.encode(sources, lengths)
    logits, _, weight = model.decode(targets, memory, real, state)
    h = model.decoder(model.embedding(targets), state)[0]
    for row in range(3):
        m = memory[row, : lengths[row]]
        alpha = (h[row] @ model.attention.weight.T @ m.T).softmax(1)
        torch.testing.assert_close(weight[row, :, : lengths[row]], alpha)
        assert not weight[row, :, lengths[row] :].any()
        both = torch.cat([h[row], alpha @ m], 1)
        out = torch.tanh(both @ model.combine.weight.T + model.combine.bias)
        torch.testing.assert_close(logits[row], out @ model.embedding.weight.T + model.bias)


def test_bad_sizes_are_named():
    with pytest.raises(InputError, match="even"):
        AttentionSeq2Seq(270, 13)
