"""Text as tokens: what every loader promises, on texts whose tokens name their places."""

import pytest
import torch
from torch import Tensor

import zoo
from datamodules.formats.characters import decode, encode
from datamodules.text import IGNORED, RandomWindows, SlidingWindows, Stream, Streams, TextFile, TokenLoader, Windows
from datamodules.tinyshakespeare import CHARACTERS, TinyShakespeare, sample_text
from zoo.errors import InputError, ZooError


def numbered(n: int) -> Tensor:
    return torch.arange(n)


def batches(loader: TokenLoader, epoch: int = 0) -> list[tuple[Tensor, Tensor]]:
    loader.set_epoch(epoch)
    return list(loader)


def scored(loader: TokenLoader) -> list[int]:
    return sorted(t for _, y in loader for t in y.flatten().tolist() if t != IGNORED)


@pytest.mark.parametrize("kind", [Windows, Streams])
def test_an_epoch_cuts_the_text_once_at_its_own_offset_and_ranks_share_it(kind):
    text, b, t = numbered(1000), 4, 10
    epochs = [[x for x, _ in batches(kind(text, b, t), epoch)] for epoch in range(6)]
    for epoch in epochs:
        seen = torch.cat(epoch).flatten().tolist()
        assert len(seen) == len(set(seen)) >= len(text) - 2 * b * t
        assert all(x.shape == (b, t) for x in epoch)
    assert len({min(torch.cat(epoch).flatten().tolist()) for epoch in epochs}) > 1  # offsets differ
    again = [x for x, _ in batches(kind(text, b, t), 1)]
    assert all(torch.equal(p, q) for p, q in zip(epochs[1], again, strict=True))
    other = [x for x, _ in batches(kind(text, b, t, seed=1), 1)]
    assert not torch.equal(torch.cat(again), torch.cat(other))
    shares = [batches(kind(text, b, t, rank=r, world_size=2), 1) for r in range(2)]
    together = [token for share in shares for x, _ in share for token in x.flatten().tolist()]
    assert len(shares[0]) == len(shares[1]) and len(together) == len(set(together))


def test_targets_are_the_next_tokens():
    text = numbered(300)
    for loader in (Windows(text, 2, 8), Streams(text, 2, 8), RandomWindows(text, 2, 8, batches=3), Stream(text, 8)):
        for x, y in loader:
            assert x.dtype == y.dtype == torch.int64 and torch.equal(y, x + 1)


def test_streams_go_on_where_they_were():
    previous = None
    for x, _ in batches(Streams(numbered(1000), 4, 10), 2):
        if previous is not None:
            assert torch.equal(x[:, 0], previous[:, -1] + 1)
        previous = x


@pytest.mark.parametrize("kind", [Windows, Streams])
def test_a_run_stopped_inside_an_epoch_goes_on_with_the_next_batch(kind):
    whole = batches(kind(numbered(1000), 4, 10), 3)
    first = kind(numbered(1000), 4, 10)
    first.set_epoch(3)
    rows = iter(first)
    for _ in range(5):
        next(rows)
    second = kind(numbered(1000), 4, 10)
    second.load_state_dict(first.state_dict())
    rest = batches(second, 3)
    assert len(rest) == len(whole) - 5
    assert all(torch.equal(a[0], b[0]) for a, b in zip(rest, whole[5:], strict=True))
    assert len(batches(second, 4)) == len(whole)


@pytest.mark.parametrize(("n", "context", "stride"), [(100, 16, 8), (101, 16, 5), (17, 16, 8), (9, 16, 8), (2, 16, 1)])
def test_sliding_windows_score_every_character_but_the_first_once(n, context, stride):
    loader = SlidingWindows(numbered(n), 3, context, stride=stride)
    assert scored(loader) == list(range(1, n))
    for x, y in loader:
        for row, (tokens, targets) in enumerate(zip(x, y, strict=True)):
            first = int((targets != IGNORED).nonzero()[0])
            assert first >= min(context, n - 1) - stride or int(tokens[0]) == 0, row  # judged from enough before it


def test_one_stream_reads_the_text_from_end_to_end():
    assert torch.cat([x[0] for x, _ in Stream(numbered(50), 8)]).tolist() == list(range(49))
    assert scored(Stream(numbered(50), 8)) == list(range(1, 50))


def test_random_windows_are_those_of_the_seed():
    first, again, other = (RandomWindows(numbered(99), 4, 8, batches=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.cat([x for x, _ in first]), torch.cat([x for x, _ in again]))
    assert not torch.equal(torch.cat([x for x, _ in first]), torch.cat([x for x, _ in other]))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Windows(numbered(50), 8, 16), "too short"),
        (lambda: Streams(numbered(50), 8, 16), "too short"),
        (lambda: Windows(numbered(50), 0, 16), "batch_size is 0"),
        (lambda: Streams(numbered(50), 1, 0), "context is 0"),
        (lambda: RandomWindows(numbered(16), 1, 16), "no window"),
        (lambda: SlidingWindows(numbered(1), 1, 16), "nothing to predict"),
        (lambda: Stream(numbered(1)), "nothing to predict"),
        (lambda: TinyShakespeare(0), "batch_size is 0"),
        (lambda: TinyShakespeare(reading="lines"), "'lines'"),
        (lambda: TinyShakespeare().tokens("test"), "'test'"),
        (lambda: TextFile("x.txt", val_share=1.0), "val_share is 1.0"),
        (lambda: TextFile("x.txt", vocabulary="abca"), "'a' twice"),
        (lambda: TextFile("/no/such/file").classes, "can't be read"),
        (lambda: zoo.datamodule("xor", repeats=0), "repeats is 0"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(make, word):
    with pytest.raises(InputError, match=word):
        make()


def test_characters_and_tokens():
    text = "the cat\n"
    assert decode(encode(text, CHARACTERS), CHARACTERS) == text
    shuffled = "zyx\nwvuéts rhcae€"  # any order, any script
    assert decode(encode("thé cats€", shuffled), shuffled) == "thé cats€"
    assert encode("ba", "ba").tolist() == [0, 1]
    for text, word in (("caté", r"'é' at position 3"), ("", "empty"), (None, "NoneType"), ("a\ud800", r"position 1")):
        with pytest.raises(InputError, match=word):
            encode(text, CHARACTERS, "the prompt")


@pytest.mark.data("tinyshakespeare")
def test_the_facts_of_tiny_shakespeare():
    data = TinyShakespeare()
    text = data.read()
    assert len(text) == sum(data.counts.values()) == 1_115_394
    assert "".join(sorted(set(text))) == "".join(data.classes) and data.num_classes == 65
    train, val = data.tokens("train"), data.tokens("val")
    assert {"train": len(train), "val": len(val)} == data.counts and train.dtype == torch.uint8
    assert decode(train, data.classes) + decode(val, data.classes) == text
    assert decode(val[:20_000], data.classes) == sample_text()
    assert len(data.train_dataloader()) == (1_003_854 - 128) // 128 // 64


def test_another_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("To be, or not to be", encoding="utf-8")
    with pytest.raises(InputError, match="isn't the published file"):
        TinyShakespeare(root=str(tmp_path)).tokens("train")


def test_without_file_and_network_the_error_says_what_to_do(tmp_path, no_network):
    with pytest.raises(ZooError, match="set ZOO_DATA"):
        TinyShakespeare(root=str(tmp_path)).prepare_data()


def test_a_persons_own_text(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("naïve café " * 50, encoding="utf-8")
    data = TextFile(str(path), 2, context=8, val_share=0.2)
    assert "".join(data.classes) == "".join(sorted(set("naïve café ")))
    assert len(data.tokens("train")) == 440 and len(data.tokens("val")) == 110
    assert sorted(scored(data.val_dataloader())) == sorted(data.tokens("val")[1:].tolist())
    known = TextFile(str(path), vocabulary=CHARACTERS)
    with pytest.raises(InputError, match="'ï' at position 2"):
        known.setup()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="isn't UTF-8"):
        TextFile(str(path)).read()
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        TextFile(str(path)).read()


def test_xor_is_four_patterns():
    data = zoo.datamodule("xor", repeats=3)
    loader = data.train_dataloader()
    assert len(loader) == 3
    for x, y in loader:
        assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
        assert y.tolist() == [[IGNORED, 0], [IGNORED, 1], [IGNORED, 1], [IGNORED, 0]]
