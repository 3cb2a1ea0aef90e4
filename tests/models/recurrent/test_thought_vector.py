"""The thought vector by its equations; what holds for every translator is in tests/text/test_translation.py."""

import torch

from tests.models.text.test_translation import batch, make


def test_by_its_equations():
    """One sentence at a time, read backwards by the cell that is spelt out, layer after layer."""
    model, (sources, lengths, targets) = make("seq2seq"), batch()
    logits = model(sources, lengths, targets)

    def run(network, x, states):
        for layer, (h, c) in enumerate(states):
            w, r, b, d = (
                getattr(network, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            rows = []
            for x_t in x:
                i, f, g, o = (w @ x_t + b + r @ h + d).chunk(4)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                rows.append(h)
            x = torch.stack(rows)
        return x

    zero = torch.zeros(12)
    for row in range(3):
        backwards = sources[row, : lengths[row]].flip(0)
        v = run(model.encoder, model.embedding(backwards), [(zero, zero)] * 2)[-1]
        torch.testing.assert_close(model.encode(sources, lengths)[row], v)
        first = torch.tanh(model.bridge.weight @ v + model.bridge.bias).reshape(2, 2, 12)  # h or c, layer
        h = run(
            model.decoder,
            model.embedding(targets[row]) + model.prompt.weight @ v,
            list(zip(*first, strict=True)),
        )
        out = torch.tanh(torch.cat([h, v.expand(5, -1)], 1) @ model.combine.weight.T + model.combine.bias)
        torch.testing.assert_close(logits[row], out @ model.embedding.weight.T + model.bias)


def test_everything_goes_through_one_vector():
    model, (sources, lengths, targets) = make("seq2seq"), batch()
    thought = model.encode(sources, lengths)
    assert thought.shape == (3, 12)
    swapped = model.decode(targets, model.start(thought.flip(0)))[0]
    torch.testing.assert_close(swapped, model(sources.flip(0), lengths.flip(0), targets))
