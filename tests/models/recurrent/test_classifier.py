"""Many to one: padding must not count, the vocabulary must travel, and texts must be refused or read as documented."""

from itertools import chain

import pytest
import torch
from torch import nn

import zoo
from datamodules.formats.words import FIRST, UNKNOWN, index_of, pad, split, tokens_of
from datamodules.labelled_text import LengthSorted
from datamodules.names import part_of
from datamodules.names import sample as sample_names
from datamodules.sst2 import parse
from datamodules.sst2 import sample as sample_reviews
from zoo.core.protocols import Classifies
from zoo.errors import InputError
from zoo.models.recurrent.classifier import RecurrentClassifier
from zoo.models.text.word2vec import Word2Vec

VOCABULARY = ["good", "bad", "film", "not", "a"]


def make(**options) -> RecurrentClassifier:
    torch.manual_seed(0)
    model = RecurrentClassifier(2, 7, embedding=6, width=5, vocabulary=VOCABULARY, dropout=0.5, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    model.classes = ["negative", "positive"]
    return model.eval()


@pytest.mark.parametrize("pooling", ["max", "last"])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_what_fills_a_text_up_changes_nothing(kind, pooling):
    model = make(kind=kind, pooling=pooling)
    texts = ["good film", "a", "not a bad film not a good film"]
    together = model.predict_proba(texts)
    alone = torch.cat([model.predict_proba(text) for text in texts])
    torch.testing.assert_close(together, alone)
    tokens, lengths = pad([model.encode(text) for text in texts])
    changed = tokens.clone()
    for row, length in enumerate(lengths.tolist()):
        changed[row, length:] = 5
    torch.testing.assert_close(model(changed, lengths), model(tokens, lengths))


def test_the_states_by_hand():
    model = make(kind="rnn")
    tokens = torch.tensor([[2, 5, 4]])
    x, rnn = model.embedding(tokens)[0], model.rnn
    forward, h = [], torch.zeros(5)
    for t in range(3):
        h = torch.tanh(rnn.weight_ih_l0 @ x[t] + rnn.bias_ih_l0 + rnn.weight_hh_l0 @ h + rnn.bias_hh_l0)
        forward.append(h)
    backward, h = [], torch.zeros(5)
    for t in (2, 1, 0):
        h = torch.tanh(
            rnn.weight_ih_l0_reverse @ x[t]
            + rnn.bias_ih_l0_reverse
            + rnn.weight_hh_l0_reverse @ h
            + rnn.bias_hh_l0_reverse
        )
        backward.append(h)
    largest = torch.cat([torch.stack(forward).amax(0), torch.stack(backward).amax(0)])
    torch.testing.assert_close(model.states(tokens, torch.tensor([3]))[0], largest)
    last = make(kind="rnn", pooling="last")
    torch.testing.assert_close(last.states(tokens, torch.tensor([3]))[0], torch.cat([forward[-1], backward[-1]]))


def test_predict_and_what_it_refuses():
    model = make()
    assert isinstance(model, Classifies)
    (name, p), (_, q) = model.predict("not a good film")
    assert name in model.classes and p >= q and p + q == pytest.approx(1)
    assert len(model.predict(["good", "bad film"], top=1)) == 2
    assert torch.equal(model.predict_proba("a Zanzibar film"), model.predict_proba("a Timbuktu film"))  # both unknown
    for bad, word in (
        ("", "empty"),
        ("  \n", "empty"),
        ([], "no text"),
        (3, "not 'int'|iterable|int"),
        (["a", 5], "not int"),
    ):
        with pytest.raises((InputError, TypeError), match=word):
            model.predict(bad)
    with pytest.raises(InputError, match="no vocabulary yet"):
        RecurrentClassifier(2, 7).predict("a")
    for init, word in (
        ({"unit": "line"}, "word, character"),
        ({"pooling": "mean"}, "max, last"),
        ({"vocabulary": ["a"]}, "set it to 3"),
        ({"vocabulary": ["a", "b", "c", "d", "d"]}, "twice"),
        ({"vocab_size": 1}, "vocab_size is 1"),
        ({"balance": -1}, "balance is -1"),
    ):
        with pytest.raises(InputError, match=word):
            RecurrentClassifier(**({"num_classes": 2, "vocab_size": 7} | init))


def test_the_vocabulary_travels_with_the_weights(tmp_path):
    model = make()
    loaded = zoo.load(model.save_pretrained(tmp_path / "m"))
    assert loaded.hparams["vocabulary"] == VOCABULARY and loaded.classes == model.classes
    assert torch.equal(loaded.predict_proba(["good film", "bad"]), model.predict_proba(["good film", "bad"]))


def test_training_takes_the_vocabulary_over_and_drops_words():
    class Data:
        vocabulary, classes, unit, num_classes = VOCABULARY, ("no", "yes"), "word", 2

    model = RecurrentClassifier(2, 7, embedding=4, width=3, word_dropout=1.0)
    model._trainer, model.log_train = type("Trainer", (), {"datamodule": Data})(), lambda **_: None
    model.setup("fit")
    assert model.classes == ["no", "yes"] and model.encode("bad").tolist() == [3]
    seen = []
    model.forward = lambda tokens, lengths: seen.append(tokens) or torch.zeros(2, 2, requires_grad=True)
    model.training_step((torch.tensor([[2, 3], [4, 0]]), torch.tensor([2, 1]), torch.tensor([0, 1])), 0)
    assert seen[0].tolist() == [[UNKNOWN, UNKNOWN], [UNKNOWN, 0]]
    Data.unit = "character"
    with pytest.raises(InputError, match="by character"):
        model.setup("fit")


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.75), (0.5, 3**0.5 / (1 + 3**0.5)), (1.0, 0.5)])
def test_a_balanced_model_does_not_answer_by_how_frequent_a_class_is(balance, share):
    """Of one and the same text, three times in one class and once in the other: p ∝ π^(1 − τ)."""

    class Data:
        vocabulary, classes, unit, num_classes = VOCABULARY, ("often", "seldom"), "word", 2
        texts = staticmethod(lambda part: [("film", 0)] * 3 + [("film", 1)])

    torch.manual_seed(0)
    model = RecurrentClassifier(2, 7, embedding=2, width=2, balance=balance)
    model._trainer, model.log_train = type("Trainer", (), {"datamodule": Data})(), lambda **_: None
    model.setup("fit")
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100)
    batch = model.encode("film").expand(4, 1), torch.ones(4, dtype=torch.int64), torch.tensor([0, 0, 0, 1])

    def closure():
        optimizer.zero_grad()
        loss = model.training_step(batch, 0)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert model.predict_proba("film")[0, 0].item() == pytest.approx(share, abs=1e-3)


def test_vectors_of_another_model_start_it_and_stay_where_frozen():
    model, vectors = make(), Word2Vec(3, 6, vocabulary=["film", "whale", "bad"])
    before = model.embedding.weight.detach().clone()
    assert model.take_vectors(vectors) == 2
    assert torch.equal(model.embedding.weight[model.encode("bad film")], vectors.embed(["bad", "film"]))
    assert torch.equal(model.embedding.weight[model.encode("good not a")], before[model.encode("good not a")])
    model.freeze("embedding").train()
    model(model.encode("bad film")[None]).sum().backward()
    assert model.embedding.weight.grad is None and model.head.weight.grad is not None
    with pytest.raises(InputError, match="length 5"):
        model.take_vectors(Word2Vec(3, 5))
    with pytest.raises(InputError, match="no vocabulary yet"):
        RecurrentClassifier(2, 7).take_vectors(vectors)
    with pytest.raises(InputError, match="RecurrentClassifier has no vectors of words"):
        model.take_vectors(make())


def test_training_begins_with_the_vectors_that_the_recipe_names_and_a_loaded_model_keeps_its_own(monkeypatch):
    class Data:
        vocabulary, classes, unit, num_classes = VOCABULARY, ("often", "seldom"), "word", 2

    vectors = Word2Vec(3, 6, vocabulary=["film", "whale", "bad"])
    monkeypatch.setattr("zoo.api.load", {"vectors": vectors}.__getitem__)
    for name in (None, "published"):
        model = RecurrentClassifier(2, 7, embedding=6, embedding_std=3.0, width=2, vectors="vectors")
        model._trainer, model.name = type("Trainer", (), {"datamodule": Data})(), name
        before = model.embedding.weight.detach().clone()
        model.setup("fit")
        taken = model.embedding.weight[model.encode("bad film")]
        assert torch.equal(taken, before[model.encode("bad film")] if name else vectors.embed(["bad", "film"]))
        others = model.encode("good not a")  # at random, with the spread of the vectors taken
        spread = 1.0 if name else vectors.centre.weight.std() / 3
        torch.testing.assert_close(model.embedding.weight[others], spread * before[others])


def test_vectors_begin_with_the_spread_that_is_asked_for():
    torch.manual_seed(0)
    assert RecurrentClassifier(2, 2000, embedding_std=0.2).embedding.weight.std().item() == pytest.approx(0.2, rel=0.01)
    with pytest.raises(InputError, match="embedding_std is 0; it is a number above 0"):
        RecurrentClassifier(embedding_std=0)


def test_pieces():
    assert split("It isn't the film's fault.", "word") == ["it", "is", "n't", "the", "film", "'s", "fault", "."]
    for text, _ in sample_reviews()[:50]:  # what is split stays as it is
        assert split(" ".join(split(text, "word")), "word") == split(text, "word")
    assert split("O'Neill ", "character") == list("O'Neill")
    assert tokens_of(["a", "zebra"], index_of(VOCABULARY)).tolist() == [FIRST + 4, UNKNOWN]
    assert len(sample_reviews()) == 200 and {label for _, label in sample_reviews()} == {0, 1}
    assert len({label for _, label in sample_names()}) == 18 and all(part_of(n) == "test" for n, _ in sample_names())
    with pytest.raises(InputError, match="line 3"):
        parse("label\tsentence\n1\tgood\ngood\n")


def test_batches_hold_each_text_once_and_follow_seed_and_epoch():
    texts = [torch.full((1 + i % 7,), i + 2) for i in range(50)]
    labels = torch.arange(50)

    def run(epoch: int, **options) -> list[list[int]]:
        loader = LengthSorted(texts, labels, 4, shuffle=True, **options)
        loader.set_epoch(epoch)
        batches = []  # of one pass: the next one is another epoch
        for tokens, lengths, label in loader:
            batches.append(label.tolist())
            assert tokens.shape[1] == lengths.max() and lengths.max() - lengths.min() <= 1
            assert all(
                (row[:n] == y + 2).all() and not row[n:].any() for row, n, y in zip(tokens, lengths, label, strict=True)
            )
        return batches

    first = run(0)
    assert sorted(chain(*first)) == list(range(50)) and first == run(0) != run(1)
    assert first != run(0, seed=1)
    shares = [run(0, rank=rank, world_size=2) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) and not set(chain(*shares[0])) & set(chain(*shares[1]))
    cut = LengthSorted(texts, labels, 4, shuffle=True)
    cut.load_state_dict({"epoch": 0, "batch": 3})
    assert [label.tolist() for _, _, label in cut] == first[3:]


@pytest.mark.data(lambda name: name)
@pytest.mark.parametrize("name", ["names", "sst2"])
def test_the_parts_are_those_published_and_apart(name):
    data = zoo.datamodule(name)
    data.prepare_data()
    texts = {part: {text for text, _ in data.texts(part)} for part in ("train", "val", "test")}
    if name == "names":
        assert not texts["train"] & texts["test"] and not texts["val"] & (texts["test"] | texts["train"])
        assert data.counts == {"train": 14_356, "val": 1_806, "test": 1_850} and len(data.vocabulary) == 80
    else:
        assert not {t for t in texts["train"] if len(t) > 40} & texts["test"] and len(data.vocabulary) == 14_798
    tokens, lengths, labels = next(iter(data.train_dataloader()))
    assert tokens.shape[0] == len(lengths) == len(labels) == 128 and tokens.max() < len(data.vocabulary) + FIRST
