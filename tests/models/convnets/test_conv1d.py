"""The DNA network against a plain scan, its shuffles against all shuffles there are, and its files against broken ones."""

import gzip
from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import zoo
from datamodules import dna_motifs
from datamodules.dna_motifs import TFBS, PeakLoader
from datamodules.files import DataNotFoundError
from datamodules.formats import dna
from datamodules.formats.dna import count_words, encode, one_hot, reverse_complement, share_words, shuffle_pairs
from zoo.errors import InputError
from zoo.models.convnets.conv1d import MotifCNN


def sequences(n: int, length: int, letters: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randint(letters, (n, length), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def small() -> MotifCNN:
    torch.manual_seed(0)
    model = MotifCNN(3, 3, members=2, width=5, hidden_dim=4).eval()
    torch.nn.init.normal_(model.where)
    return model


def pairs(codes: torch.Tensor) -> torch.Tensor:
    return F.one_hot(codes[:, :-1].long() * 5 + codes[:, 1:].long(), 25).sum(1)


def test_shuffles_keep_the_pairs_of_neighbours_and_the_ends():
    codes = torch.cat([sequences(60, 101), sequences(40, 101, letters=5), sequences(20, 101, letters=1)])
    shuffled = shuffle_pairs(codes, torch.Generator().manual_seed(0))
    assert torch.equal(pairs(shuffled), pairs(codes)) and shuffled.dtype == codes.dtype
    assert torch.equal(shuffled[:, 0], codes[:, 0]) and torch.equal(shuffled[:, -1], codes[:, -1])
    assert (shuffled[:60] != codes[:60]).any(1).all()
    assert torch.equal(shuffled, shuffle_pairs(codes, torch.Generator().manual_seed(0)))


def test_all_shuffles_are_equally_likely():
    word = encode("ACAGACGTA")

    def neighbours(text: tuple[int, ...]) -> list[tuple[int, int]]:
        return sorted(pairwise(text))

    texts = {(0, *rest) for rest in permutations(word[1:].tolist())}
    wanted = {text for text in texts if neighbours(text) == neighbours(tuple(word.tolist()))}
    n = 400 * len(wanted)
    shuffled = shuffle_pairs(word.expand(n, -1), torch.Generator().manual_seed(0))
    found = Counter(map(tuple, shuffled.tolist()))
    assert set(found) == wanted and len(wanted) > 5
    chi_square = sum((count - 400) ** 2 / 400 for count in found.values())
    assert chi_square < len(wanted) + 4 * (2 * len(wanted)) ** 0.5


def test_words_count_on_both_strands_alike():
    codes = sequences(8, 30, letters=5)
    for k in (1, 3, 4):
        counts = count_words(codes, k)
        assert (counts != count_words(reverse_complement(codes), k)).nnz == 0
    # AA (TT is AA), AC; none with N
    assert count_words(encode("AACNTT")[None], 2).toarray().nonzero()[1].tolist() == [0, 1]
    assert count_words(encode("AACNTT")[None], 2)[0, 0] == 2


def test_a_word_regression_takes_a_weight_of_two_for_two_of_a_kind():
    codes, label = sequences(40, 30), (torch.arange(40) % 2).float()
    parts = {name: (codes, label) for name in ("train", "val", "test")}
    weight = torch.ones(40)
    weight[:10] = 2
    twice = parts | {"train": (torch.cat([codes, codes[:10]]), torch.cat([label, label[:10]]))}
    plain, weighed, repeated = (
        dna.word_regression(p, (2,), (0.01,), w)[0] for p, w in ((parts, None), (parts, weight), (twice, None))
    )
    torch.testing.assert_close(weighed, repeated, atol=1e-3, rtol=0)
    assert (weighed - plain).abs().max() > 0.01


def test_shared_words_are_found_on_either_strand():
    codes = sequences(6, 50)
    others = sequences(2, 50, seed=1)
    others[0, 5:20] = codes[2, 30:45]
    others[1, 5:20] = reverse_complement(codes[4, 30:45])
    assert share_words(codes, others, 15).nonzero().flatten().tolist() == [2, 4]
    assert not share_words(codes, others, 20).any()


def test_fits_equal_a_plain_scan_of_both_strands():
    model, codes = small(), sequences(4, 23, letters=5)
    weight = model.scan.weight.detach().unflatten(1, (4, 4))  # [motifs, letter, next letter, place]
    scan = torch.empty(4, 2, 6, 23)
    for strand, read in enumerate((codes, reverse_complement(codes))):
        x = F.pad(one_hot(read), (2, 2), value=0.25)
        for place in range(23):
            here, after = x[:, :, place : place + 4], x[:, :, place + 1 : place + 5]
            scan[:, strand, :, place] = torch.einsum("nak,nbk,iabk->ni", here, after, weight) + model.scan.bias
    scan = scan.detach()
    stages = model.features(one_hot(codes))
    torch.testing.assert_close(stages["best"], scan.relu().amax((1, 3)))
    torch.testing.assert_close(stages["total"], scan.exp().sum((1, 3)).log())
    torch.testing.assert_close(stages["number"], scan.sigmoid().sum((1, 3)))
    along = torch.linspace(0, model.where.shape[2] - 1, 23)
    lines = [np.interp(along, range(model.where.shape[2]), knots) for knots in model.where[0].detach()]
    share = torch.tensor(np.stack(lines)).softmax(1).float()  # [motifs, places]
    torch.testing.assert_close(stages["mean"], (scan.relu() * share).sum(3).mean(1))


def test_the_mean_begins_with_equal_weights():
    model, x = MotifCNN(3, 6, width=5), one_hot(sequences(4, 23))
    fits = model.scan(model.pairs(x).flatten(0, 1)).relu()  # [2 · 4, 6, places]
    torch.testing.assert_close(model.features(x)["mean"], fits.mean(2).unflatten(0, (4, 2)).mean(1))


def test_the_answer_is_the_mean_of_members_that_have_nothing_in_common():
    model, x = small(), one_hot(sequences(4, 23))
    before = model.opinions(x)
    torch.testing.assert_close(model(x), before.mean(1))
    with torch.no_grad():
        model.scan.weight[:3] += 1  # the first member's motifs
    after = model.opinions(x)
    assert not torch.isclose(after[:, 0], before[:, 0]).any() and torch.equal(after[:, 1], before[:, 1])


def test_without_hidden_units_the_motifs_are_weighed_themselves():
    model, x = MotifCNN(3, 6, members=2, width=5, hidden_dim=0).eval(), one_hot(sequences(4, 23))
    weight = model.head.weight[:3, :, 0]  # the first member's answers
    pooled = model.features(x)["embedding"][:, :24]
    torch.testing.assert_close(model.opinions(x)[:, 0], pooled @ weight.T + model.head.bias[:3])


def test_a_filter_of_one_letter_is_refused():
    with pytest.raises(InputError, match="width is 1"):
        MotifCNN(width=1)


def test_every_member_learns_by_a_loss_of_its_own():
    model, x = small(), one_hot(sequences(4, 23))
    batch = x, torch.tensor([0, 2, 0, 1]), torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.tensor([2.0, 0.5, 1.0, 0.5])
    opinions, rows = model.opinions(x), []
    for number, (factor, label, weight) in enumerate(zip(*batch[1:], strict=True)):
        rows.append(weight * F.binary_cross_entropy_with_logits(opinions[number, :, factor], label.expand(2)))
    torch.testing.assert_close(model._loss(batch), torch.stack(rows).mean())


def test_both_strands_get_the_same_answer():
    model, codes = small(), sequences(5, 40, letters=5)
    torch.testing.assert_close(model(one_hot(codes)), model(one_hot(reverse_complement(codes))))


def test_a_motif_is_read_off_its_best_places_in_its_own_direction():
    model, word = small(), encode("GATTC")
    codes = torch.zeros(10, 30, dtype=torch.uint8)  # nothing but A
    codes[:, 12:17] = word
    codes[5:] = reverse_complement(codes[5:])
    with torch.no_grad():
        model.scan.weight[3] = model.pairs(one_hot(word[None]))[0, 0, :, 2:6] - 0.5
        model.scan.bias[3] = -1
    frequencies, places = model.motif(3, codes)
    assert places == 10 and torch.equal(frequencies, one_hot(word[None])[0])


def test_probabilities_of_strings():
    model = small()
    model.classes = ["A1", "B2", "C3"]
    p = model.predict_proba(["ACGTNACGTT", "acgtnacgtt", "AACGTNACGT"])
    assert p.shape == (3, 3) and torch.equal(p[0], p[1]) and p.min() > 0 and p.max() < 1
    torch.testing.assert_close(p[0], p[2])  # its reverse complement
    torch.testing.assert_close(model.predict_proba(["ACGTNACGTT", "ACG"])[0], p[0])
    names = [name for name, _ in model.predict("ACGT")]
    assert sorted(names) == model.classes and len(model.predict(["ACGT", "A"], top=1)) == 2


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([], "no sequence"),
        ("", "at least one letter"),
        (["ACGT", "ACUT"], "sequence 2 has 'U' at position 3"),
        ("AC GT", "' '"),
    ],
)
def test_bad_sequences_are_named(bad, said):
    with pytest.raises(InputError, match=said):
        small().predict_proba(bad)


def test_logos_are_as_high_as_their_information():
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    dna.draw_logo(axis, torch.tensor([[1.0, 0.5], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0]]))
    tops = [patch.get_path().get_extents().y1 for patch in axis.patches]
    assert max(tops[:4]) == pytest.approx(2, abs=1e-3) and max(tops[4:]) == pytest.approx(1, abs=1e-3)


@pytest.fixture
def tiny_files(tmp_path, monkeypatch):
    """Fifty peaks and twenty test sequences a factor, of twelve letters."""
    monkeypatch.setattr(dna_motifs, "FILES", {f: (f, 50) for f in ("P53", "GATA1")})
    monkeypatch.setattr(dna_motifs, "TESTED", 20)
    monkeypatch.setattr(TFBS, "length", 40)
    monkeypatch.setattr(TFBS, "classes", ("P53", "GATA1"))
    folder = tmp_path / "dna_motifs" / "encode_chipseq"
    folder.mkdir(parents=True)
    for number, factor in enumerate(("P53", "GATA1")):
        for part, n in (("AC", 50), ("B", 20)):
            rows = ["FoldID\tEventID\tseq\tBound"]
            for i, codes in enumerate(sequences(n, 40, seed=10 * number + n)):
                bound = int(part == "AC" or i < n // 2)
                rows.append(f"A\tpeak{i}\t{''.join('ACGT'[c] for c in codes)}\t{bound}")
            text = "\n".join(rows).encode()
            path = folder / f"{factor}_{part}.seq"
            path.write_bytes(text) if part == "AC" else path.with_suffix(".seq.gz").write_bytes(gzip.compress(text))
    return tmp_path


def test_parts_are_disjoint_and_packed_files_are_read(tiny_files):
    data = TFBS(4, root=str(tiny_files))
    data.prepare_data()
    assert [len(data.part(p)[0]) for p in ("train", "val", "test")] == [90, 20, 40]
    train, val = ({tuple(r) for r in data.part(p)[0].tolist()} for p in ("train", "val"))
    assert not train & val
    codes, label = data.labelled("train", 1)
    assert len(codes) == 90 and torch.equal(pairs(codes[:45]), pairs(codes[45:])) and label.sum() == 45
    x, factor, label, _ = next(iter(data.train_dataloader()))
    assert x.shape == (8, 4, 40) and torch.equal(factor[:4], factor[4:]) and label.tolist() == [1] * 4 + [0] * 4


def test_a_training_peak_that_overlaps_a_test_peak_is_left_out(tiny_files):
    folder = tiny_files / "dna_motifs" / "encode_chipseq"
    tested = gzip.decompress((folder / "GATA1_B.seq.gz").read_bytes()).decode().splitlines()[1].split("\t")[2]
    lines = (folder / "P53_AC.seq").read_text().splitlines()
    lines[7] = f"A\tp\tACGTACGT{tested[:32]}\t1"
    (folder / "P53_AC.seq").write_text("\n".join(lines))
    data = TFBS(4, root=str(tiny_files))
    assert len(data.part("train")[0]) + len(data.part("val")[0]) // 2 == 99


def test_batches_follow_seed_and_epoch_and_resume():
    codes, factor = sequences(40, 20), torch.arange(40) % 3

    def run(loader: PeakLoader, epoch: int) -> list[torch.Tensor]:
        loader.set_epoch(epoch)
        return [x for x, *_ in loader]

    loader = PeakLoader(codes, factor, 8)
    first, again, later = run(loader, 0), run(PeakLoader(codes, factor, 8), 0), run(loader, 1)
    assert (
        all(map(torch.equal, first, again)) and not torch.equal(first[0], later[0]) and len(first) == len(loader) == 5
    )
    loader.load_state_dict({"epoch": 0, "batch": 3})
    assert all(map(torch.equal, run(loader, 0), first[3:]))
    shares = [torch.cat([x[:8] for x in run(PeakLoader(codes, factor, 8, rank=r, world_size=2), 0)]) for r in range(2)]
    assert not {tuple(x.flatten().tolist()) for x in shares[0]} & {tuple(x.flatten().tolist()) for x in shares[1]}


def test_strong_peaks_weigh_more(tiny_files):
    data, alike = TFBS(4, dwell=20, root=str(tiny_files)), TFBS(4, root=str(tiny_files))
    loader = data.train_dataloader()
    text = (tiny_files / "dna_motifs" / "encode_chipseq" / "P53_AC.seq").read_text()
    lines = [row.split("\t")[2] for row in text.splitlines()[1:]]
    # ten of the twenty strongest peaks are test peaks, so the lines of the training file have ranks 0, 2, … 18, 20, 21, …
    place = torch.tensor([lines.index("".join("ACGT"[c] for c in codes)) for codes in loader.codes[:45].tolist()])
    wanted = 0.1 + 0.9 * torch.exp(-torch.where(place < 10, 2 * place, place + 10) / 20)
    torch.testing.assert_close(loader.weight[:45] / loader.weight[0], wanted / wanted[0])
    assert loader.weight.mean().item() == pytest.approx(1) and loader.weight.max() > 2 * loader.weight.min()
    for (x, _, _, weight), (same, _, _, even) in zip(loader, alike.train_dataloader(), strict=True):
        known = (x[:4, None] == one_hot(loader.codes)).flatten(2).all(2).long().argmax(1)
        assert torch.equal(weight[:4], loader.weight[known]) and torch.equal(weight[4:], weight[:4])
        assert torch.equal(x, same) and torch.equal(even, torch.ones(8))
    assert torch.equal(torch.cat([weight for *_, weight in data.val_dataloader()]), torch.ones(20))
    codes, _ = data.labelled("train", 0)
    assert torch.equal(codes[:45], loader.codes[:45])
    torch.testing.assert_close(data.weights(0), torch.cat([wanted, wanted]) / wanted.mean())
    with pytest.raises(InputError, match="dwell is 0"):
        TFBS(dwell=0)


def test_missing_and_broken_files_are_named(tiny_files):
    folder = tiny_files / "dna_motifs" / "encode_chipseq"
    with pytest.raises(DataNotFoundError, match="data/encode"):
        TFBS(root=str(folder)).prepare_data()
    path = folder / "P53_AC.seq"
    whole = path.read_text()
    for text, said in (
        (whole.replace("\t1", "\tyes", 1), "line 2 "),
        ("\n".join(whole.splitlines()[:40]), "39 sequences"),
        (whole.splitlines()[0], "no sequence"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            TFBS(root=str(tiny_files)).part("train")
    with pytest.raises(InputError, match="batch_size"):
        zoo.datamodule("tfbs", batch_size=0)


def test_claims_and_logos_come_from_the_files(tiny_files, tmp_path):
    data = TFBS(4, root=str(tiny_files))
    model = MotifCNN(2, 5, width=6, hidden_dim=4)
    entries = model.evaluate(data)
    found = {(entry["metric"], entry["split"]): entry["value"] for entry in entries}
    assert len(found) == len(entries) == 8 and all(entry["how"] for entry in entries)
    gains = [found[f"auc_{f}", "test"] - found[f"auc_words_{f}", "test"] for f in ("P53", "GATA1")]
    assert found["least_gain", "test"] == pytest.approx(min(gains))
    also = {entry["metric"]: entry["value"] for entry in model.evaluate(TFBS(4, dwell=1e9, root=str(tiny_files)))}
    assert len(also) == 9 and also["auc_words_weighed"] == pytest.approx(also["auc_words"])  # all weigh 1 then
    assert also["least_gain_weighed"] == pytest.approx(also["least_gain"])
    model.classes, model.data = list(data.classes), {"name": "tfbs", "init": {"root": str(tiny_files)}}
    assert model.preview(tmp_path / "logos.png").stat().st_size > 5_000
