"""The music Transformer: relative attention against a loop, sets and events, and continuations drawn without replacement."""

import itertools
import math

import pytest
import torch
from torch import nn

from datamodules.formats.midi import KEYS, read_midi, write_midi
from datamodules.jsb_chorales import RollLoader, sample
from zoo.errors import InputError
from zoo.models.transformers.music import NEXT, PADDING, MusicTransformer, events_of, roll_of, skew


def make(**options) -> MusicTransformer:
    torch.manual_seed(0)
    model = MusicTransformer(16, 2, **({"heads": 2, "reach": 6, "dropout": 0.5} | options))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize(("new", "every"), [(9, 9), (1, 9), (4, 9), (1, 1)])
def test_relative_attention_by_a_loop(new, every):
    block = make().blocks[0]
    q, k = torch.randn(2, 2, new, 8), torch.randn(2, 2, every, 8)
    found = block.scores(q, k)
    for i, j in itertools.product(range(new), range(every)):
        distance = every - new + i - j
        if distance < 0:
            assert (found[..., i, j] == -math.inf).all()
            continue
        vector = block.distance[:, min(distance, 5)]  # [heads, d]
        expected = ((q[:, :, i] * k[:, :, j]).sum(2) + (q[:, :, i] * vector).sum(2)) / math.sqrt(8)
        torch.testing.assert_close(found[..., i, j], expected)
    products = torch.arange(9.0).expand(9, 9)  # the column of distance 8 − c holds c
    assert all(skew(products)[i, j] == 8 - (i - j) for i in range(9) for j in range(i + 1))


def test_no_event_sees_what_comes_after():
    model, events = make(), torch.randint(NEXT + 1, (1, 14))
    x = model.embedding(events).detach()
    model.embedding.register_forward_hook(lambda *_: x.requires_grad_())
    log_p = model(events)[0, 6]
    (gradient,) = torch.autograd.grad(log_p[log_p.isfinite()].square().sum(), x)
    assert gradient[0, :7].abs().sum(1).all() and not gradient[0, 7:].any()


def test_what_is_kept_gives_what_all_at_once_gives():
    model, events = make(), events_of(sample()[0][:6])[None]
    whole, state = model(events), None
    for t in range(events.shape[1]):
        log_p, state = model.step(events[:, t : t + 1], state)
        torch.testing.assert_close(log_p[:, 0], whole[:, t], rtol=1e-4, atol=1e-5)


def test_a_set_of_keys_is_one_sequence_of_events():
    for roll in [*sample(), torch.zeros(3, KEYS, dtype=torch.bool), torch.rand(20, KEYS) < 0.1]:
        assert torch.equal(roll_of(events_of(roll)), roll)
    roll = torch.zeros(2, KEYS)
    roll[0, [39, 43]] = 1
    assert events_of(roll).tolist() == [44, 48, NEXT, NEXT]  # the higher key first; the second step is silent


def test_the_probabilities_of_all_sets_of_a_step_sum_to_one():
    model = make()
    nn.init.zeros_(model.head.weight)
    model.head.bias.data[:] = -1e4  # four keys, and the end of the step, are all that can come
    model.head.bias.data[[3, 10, 20, 80, NEXT]] = torch.tensor([0.3, -0.2, 0.5, 0.1, 0.4])
    total = 0.0
    for keys in itertools.chain.from_iterable(itertools.combinations((84, 77, 67, 7), n) for n in range(5)):
        roll = torch.zeros(2, KEYS)
        roll[1, list(keys)] = 1
        total += model.log_prob(roll).exp().item()
    assert total == pytest.approx(1, abs=1e-5)


def test_likelihood_by_its_definition_and_what_fills_up_changes_nothing():
    model, rolls = make(), [sample()[0][:12], sample()[1][:5]]
    events, expected, start = events_of(rolls[0]), [], 0
    sequence = torch.cat([torch.tensor([NEXT]), events])
    for end in (events == NEXT).nonzero().flatten().tolist():
        terms = [model(sequence[None, : t + 1])[0, -1, events[t]] for t in range(start, end + 1)]
        expected.append(torch.stack(terms).sum())
        start = end + 1
    torch.testing.assert_close(model.log_prob(rolls[0]), torch.stack(expected[1:]), rtol=1e-4, atol=1e-4)
    total, steps = model.nats(next(iter(RollLoader(rolls, 2))))
    torch.testing.assert_close(total, -torch.cat([model.log_prob(roll) for roll in rolls]).sum(), rtol=1e-4, atol=1e-3)
    assert steps == 11 + 4
    model.train().hparams["crop"] = 4
    assert model.nats(next(iter(RollLoader(rolls, 2))))[1] == 3 + 3  # a training piece is cut to four steps


def test_compositions_follow_seed_primer_and_temperature(tmp_path):
    model, primer = make(), sample()[0][:5]
    roll = model.compose(12, seed=1)
    assert roll.dtype == torch.bool and roll.shape == (12, KEYS)
    assert torch.equal(roll, model.compose(12, seed=1)) and not torch.equal(roll, model.compose(12, seed=2))
    greedy = model.compose(6, temperature=0)
    assert torch.equal(greedy, model.compose(6, temperature=1e-300, seed=5))
    found = model.variations(3, 5, primer=primer, seed=0)
    assert len(found) == 5 and len({str(roll.nonzero().tolist()) for roll, _ in found}) == 5
    for roll, value in found:  # its log-probability is that of the steps after the primer
        whole = model.log_prob(torch.cat([primer, roll]).float())
        assert value == pytest.approx(whole[-3:].sum().item(), rel=1e-4)
    piece = torch.cat([primer, found[0][0]])
    last = int(piece.any(1).nonzero().max())  # silence at the end leaves no event in the file
    assert torch.equal(read_midi(write_midi(piece, tmp_path / "a.mid")), piece[: last + 1])


def test_one_variation_is_a_draw_of_the_model():
    model = make()
    nn.init.zeros_(model.head.weight)
    model.head.bias.data[:] = -math.inf
    model.head.bias.data[[40, NEXT]] = torch.tensor([math.log(3), 0.0])  # the key sounds with the probability ¾
    counts = [int(model.variations(1, 1, seed=seed)[0][0].sum()) for seed in range(300)]
    assert sum(counts) / 300 == pytest.approx(0.75, abs=0.08)
    both = model.variations(1, 9, seed=0)
    assert len(both) == 2 and sum(math.exp(value) for _, value in both) == pytest.approx(1)  # there are no more


def test_the_command_line_goes_on_from_a_file(tmp_path, capsys):
    from zoo.cli.main import main

    model = make()
    folder = str(model.save_pretrained(tmp_path / "music-small"))
    opening = write_midi(sample()[0][:4], tmp_path / "opening.mid")
    target = tmp_path / "piece.mid"
    assert main(["compose", folder, "-n", "6", "-o", str(target), "--primer", str(opening), "--seed", "2"]) == 0
    piece = torch.cat([sample()[0][:4], model.compose(6, primer=sample()[0][:4], seed=2)])
    assert torch.equal(read_midi(target), read_midi(write_midi(piece, tmp_path / "same.mid")))
    (tmp_path / "cut.mid").write_bytes(target.read_bytes()[:-9])
    for name, word in (("no.mid", "there is no file"), ("cut.mid", "is cut")):
        assert main(["compose", folder, "--primer", str(tmp_path / name)]) == 2
        assert word in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda m: m.compose(0), "at least 1"),
        (lambda m: m.compose(3, temperature=-1), "temperature"),
        (lambda m: m.compose(3, temperature=math.nan), "temperature"),
        (lambda m: m.compose(3, primer=torch.zeros(3, 12)), "primer is"),
        (lambda m: m.compose(3, primer=torch.full((3, KEYS), 0.5)), "0 and 1 alone"),
        (lambda m: m.variations(3, 0), "beams must be"),
        (lambda m: m.variations(3, 2, temperature=0), "above 0"),
        (lambda m: m.log_prob(torch.zeros(1, KEYS)), "two or more"),
        (lambda m: MusicTransformer(30, heads=4), "4 heads"),
        (lambda m: MusicTransformer(crop=1), "crop is 1"),
        (lambda m: MusicTransformer(reach=0), "reach"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, word):
    with pytest.raises(InputError, match=word):
        call(make())


def test_logits_that_are_not_finite_are_never_sampled():
    model = make()
    nn.init.constant_(model.head.bias, math.nan)
    for call in (lambda: model.compose(2), lambda: model.variations(2, 2)):
        with pytest.raises(InputError, match="aren't finite"):
            call()
    assert PADDING == NEXT + 1
