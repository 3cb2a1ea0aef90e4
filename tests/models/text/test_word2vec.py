"""Skip-gram: pairs and loss by their definitions, and what the vectors of a made-up language must show."""

import pytest
import torch
from torch.nn import functional as F

import zoo
from datamodules.gutenberg import RARE, SkipGrams
from zoo.errors import InputError, UnknownNameError
from zoo.models.text.word2vec import Word2Vec

WORDS = ["king", "queen", "man", "woman", "apple"]


def make() -> Word2Vec:
    torch.manual_seed(0)
    model = Word2Vec(5, 4, negatives=3, vocabulary=WORDS)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model.eval()


def test_pairs_are_neighbours_within_their_reach_and_rare_words_have_none():
    text = torch.tensor([0, 1, RARE, 2, 3, 4])
    pairs = {tuple(pair) for epoch in range(60) for pair in SkipGrams(text, torch.ones(5), 1, 2).pairs(epoch).tolist()}
    # the unknown word is gone before pairs are made
    places = {word: place for place, word in enumerate([0, 1, 2, 3, 4])}
    assert pairs == {(a, b) for a in places for b in places if 0 < abs(places[a] - places[b]) <= 2}
    loader = SkipGrams(text, torch.ones(5), 1, 2)
    alone, near = ([p.tolist() for p in loader.pairs(0)].count(pair) for pair in ([0, 1], [0, 2]))
    assert alone == 1 and near <= 1  # a neighbour at distance 1 is always within reach
    dropped = SkipGrams(torch.arange(5).repeat(200), torch.tensor([1.0, 1, 1, 1, 0]), 4, 2).pairs(0)
    assert not (dropped == 4).any()


def test_batches_follow_seed_epoch_and_rank():
    text, keep = torch.randint(30, (4000,), generator=torch.Generator().manual_seed(0)), torch.full((30,), 0.5)

    def run(epoch: int, **options) -> torch.Tensor:
        loader = SkipGrams(text, keep, 64, 3, **options)
        loader.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == len(loader) and all(len(centres) == 64 for centres, _ in batches)
        return torch.stack([torch.stack(batch) for batch in batches])

    first = run(0)
    assert torch.equal(first, run(0)) and not torch.equal(first, run(1)) and not torch.equal(first, run(0, seed=1))
    assert len(run(0, rank=0, world_size=2)) == len(run(0, rank=1, world_size=2)) == len(first) // 2
    cut = SkipGrams(text, keep, 64, 3)
    cut.load_state_dict({"epoch": 0, "batch": 5})
    assert torch.equal(torch.stack([torch.stack(batch) for batch in cut]), first[5:])
    for options in ({"batch_size": 0, "window": 2}, {"batch_size": 4, "window": 0}, {"batch_size": 10**6, "window": 2}):
        with pytest.raises(InputError):
            SkipGrams(text, keep, **options)


def test_loss_by_its_equation():
    model = make()
    centres, contexts, noise = torch.tensor([0, 3]), torch.tensor([1, 2]), torch.tensor([[4, 2, 2], [0, 1, 4]])
    u, v = model.centre.weight, model.neighbour.weight
    expected = 0.0
    for c, o, drawn in zip(centres, contexts, noise, strict=True):
        expected -= torch.sigmoid(u[c] @ v[o]).log() + sum(torch.sigmoid(-u[c] @ v[i]).log() for i in drawn)
    torch.testing.assert_close(model.loss(centres, contexts, noise), expected / 2)


def test_negatives_follow_the_frequencies():
    model = make()
    model.noise = torch.tensor([0.0, 1, 3, 0, 4])
    drawn = torch.bincount(model.draw(4000, 2).flatten(), minlength=5) / 8000
    torch.testing.assert_close(drawn, model.noise / 8, atol=0.02, rtol=0)


def test_neighbours_similarity_and_analogies():
    model = make()
    with torch.no_grad():
        model.centre.weight.copy_(
            torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 1], [0, 0.1, 1, 0], [0, 0.1, 0, 1], [0, 5, 0, 0]])
        )
    assert model.analogy("man", "king", "woman", top=1)[0][0] == "queen"
    assert model.neighbours("King", 2)[0] == ("man", pytest.approx(model.similarity("king", "man")))
    assert model.similarity("king", "man") == pytest.approx(
        F.cosine_similarity(*model.embed(["king", "man"]), dim=0).item()
    )
    assert len(model.neighbours("apple", 99)) == 4
    with pytest.raises(UnknownNameError, match=r"'quen' is not in the vocabulary of 5 words\. Near it are queen"):
        model.neighbours("quen")
    with pytest.raises(InputError, match="no vocabulary"):
        Word2Vec(5, 4).neighbours("king")
    for vocabulary, word in ((["a"], "1 words"), (["a", "a", "b", "c", "d"], "twice")):
        with pytest.raises(InputError, match=word):
            Word2Vec(5, 4, vocabulary=vocabulary)


def test_the_vocabulary_travels_with_the_weights(tmp_path):
    model = make()
    loaded = zoo.load(model.save_pretrained(tmp_path / "m"))
    assert loaded.neighbours("king") == model.neighbours("king")


@pytest.mark.data("gutenberg")
def test_words_of_the_novels():
    data = zoo.datamodule("gutenberg")
    data.prepare_data()
    assert len(data.vocabulary) == 10_831 and data.vocabulary[:3] == ["the", "and", "to"]
    assert [len(data.tokens(part)) for part in ("train", "val")] == [2_985_798, 157_151]
    assert data.frequencies.sum() == pytest.approx(1)
