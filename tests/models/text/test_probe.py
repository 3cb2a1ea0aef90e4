"""The linear probe against scikit-learn's, the bag of words by hand, and the data that both are measured on."""

import pytest
import torch

import zoo
from datamodules.gutenberg_pieces import NOVELS, PARTS, cut
from zoo.errors import InputError
from zoo.models.text.probe import BagOfWords, LinearProbe, probe_entries


@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_probe_is_logistic_regression(strength):
    linear_model = pytest.importorskip("sklearn.linear_model")
    torch.manual_seed(0)
    z, labels = torch.randn(40, 6) + 3, torch.arange(40) % 3
    z[:, 0] += labels
    probe = LinearProbe(z, labels, 3, strength=strength)
    x = (z.double() - z.double().mean(0)) / (z.double() - z.double().mean(0)).norm(dim=1).mean()
    theirs = linear_model.LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(x.numpy(), labels.numpy())
    torch.testing.assert_close(probe(z), torch.from_numpy(theirs.predict_proba(x.numpy())), atol=1e-4, rtol=1e-3)


def test_bag_of_words_by_hand():
    bag = BagOfWords(["the whale", "the sea the sea"])
    assert list(bag.index) == ["sea", "the", "whale"]
    rows = bag(["the whale", "a harpoon"])
    rarity = torch.tensor([0.0, 1.0, 1 + torch.tensor(2.0).log()])  # log(N / frequency) + 1
    torch.testing.assert_close(rows[0], rarity / rarity.norm())
    assert not rows[1].any()  # words that it never saw


class Stories:
    """Two novels, told apart by one word in each passage."""

    name, novels = "stories", ("sea", "land")

    def passages(self, part: str, words: int) -> list[tuple[str, int]]:
        return [(f"{'whale' if label == 0 else 'horse'} {part} {i}", label) for label in (0, 1) for i in range(12)]


def test_entries_say_what_was_done():
    seen = []

    def embed(texts):
        seen.extend(texts)
        return torch.tensor([[float("whale" in text), float("horse" in text)] for text in texts])

    entries = probe_entries(Stories(), embed, "test part", words=3, shots=(1, 4), draws=2, most=5)
    assert [entry["metric"] for entry in entries] == [
        "probe_accuracy_1", "bag_accuracy_1", "probe_accuracy_4", "bag_accuracy_4"
    ]  # fmt: skip
    assert all(entry["value"] == 1 and entry["split"] == "test" for entry in entries[::2])
    assert "mean of 2 draws" in entries[0]["how"] and "10 passages of 3 words" in entries[0]["how"]
    assert sum("test" in text for text in seen) == 10  # the test part is embedded once, and nothing is fitted to it
    with pytest.raises(InputError, match="one or more vectors each"):
        LinearProbe(torch.zeros(2, 2), torch.tensor([0, 0]), 2)
    with pytest.raises(InputError, match="strength"):
        LinearProbe(torch.zeros(2, 2), torch.tensor([0, 1]), 2, strength=0.0)


@pytest.mark.data("gutenberg-pieces")
def test_parts_of_a_novel_follow_each_other():
    data = zoo.datamodule("gutenberg-pieces", novels=["Pride and Prejudice"], vocab_size=600)
    data.prepare_data()
    counts = {part: len(data.texts(part)[0].split()) for part in PARTS}
    assert counts["train"] == pytest.approx(18 * counts["val"], rel=0.01)
    assert counts["val"] == pytest.approx(counts["test"], abs=1)
    assert " ".join(cut(data.texts("val")[0], 7)) == data.texts("val")[0]
    passages = data.passages("test", 24)
    assert all(len(text.split()) == 24 and label == 0 for text, label in passages)
    assert " ".join(text for text, _ in passages) == " ".join(data.texts("test")[0].split()[: 24 * len(passages)])
    assert data.tokens("val").max() < 600 and data.tokenizer.get_vocab_size() == 600
    assert len(NOVELS) == 9
    for call, word in (
        (lambda: data.texts("dev"), "train, val, test"),
        (lambda: data.passages("val", 0), "at least 1"),
        (lambda: zoo.datamodule("gutenberg-pieces", novels=["Emma"]), "no novel 'Emma'"),
        (lambda: zoo.datamodule("gutenberg-pieces", vocab_size=9), "vocab_size is 9"),
        (lambda: zoo.datamodule("gutenberg-pieces", context=0), "context is 0"),
    ):
        with pytest.raises(InputError, match=word):
            call()
