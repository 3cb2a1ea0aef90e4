"""Mixtures: always the same ones, of unit power, of two speakers, and from anybody's folder."""

import hashlib
import json

import numpy as np
import pytest
import torch

import zoo
from datamodules.files import data_root
from datamodules.fsdd import FSDDMixtures, sample
from datamodules.speech_mixtures import integers
from zoo.core.audio import write_wav
from zoo.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Three speakers with four recordings each: a tone of their own, at several rates and numbers of channels."""
    for s, name in enumerate(("anna", "ben", "cleo")):
        (tmp_path / "voices" / name).mkdir(parents=True)
        for i in range(4):
            rate = (8000, 16_000, 44_100)[i % 3]
            x = torch.sin(torch.arange(rate // 4) / rate * 2 * torch.pi * (200 + 150 * s)) * 0.5
            write_wav(tmp_path / "voices" / name / f"{i}.wav", torch.stack([x, x]) if i % 2 else x, rate)
    return tmp_path / "voices"


def test_integers_are_splitmix64():
    draw = integers(1, 2)
    first = [next(draw) for _ in range(3)]
    again = integers(1, 2)
    assert first == [next(again) for _ in range(3)] and all(0 <= n < 2**64 for n in first)
    assert first != [next(integers(2, 1)) for _ in range(3)]


def test_packaged_mixtures_have_unit_power_and_the_stated_levels():
    mixture, voices = sample()
    assert mixture.shape == (8, 8192) and voices.shape == (8, 2, 8192)
    torch.testing.assert_close(mixture.square().mean(1), torch.ones(8), atol=2e-3, rtol=0)
    level = 10 * (voices[:, 1].square().mean(1) / voices[:, 0].square().mean(1)).log10()
    assert level.abs().max() <= 5.01


def test_a_folder_gives_mixtures_of_two_speakers(folder):
    data = zoo.datamodule("wav-folder", root=str(folder), batch_size=4, train_size=8, val_size=3, test_size=3)
    mixture, voices = next(iter(data.train_dataloader()))
    assert mixture.shape == (4, 8192) and voices.shape == (4, 2, 8192)
    torch.testing.assert_close(voices.sum(1), mixture)
    torch.testing.assert_close(mixture.square().mean(1), torch.ones(4), atol=1e-4, rtol=0)
    assert data.speakers == ("anna", "ben", "cleo")
    for number in range(50):
        (a, _), (b, _) = data.plan("train", number)["voices"]
        assert a != b
    files = [set(data._files[part]["anna"]) for part in ("train", "val", "test")]
    assert [len(part) for part in files] == [2, 1, 1] and not set.intersection(*files)


def test_every_epoch_mixes_anew_and_a_resumed_one_goes_on(folder):
    data = zoo.datamodule("wav-folder", root=str(folder), batch_size=2, train_size=8)
    loader = data.train_dataloader()
    first = [x for x, _ in loader]
    loader.set_epoch(1)
    second = [x for x, _ in loader]
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    resumed = data.train_dataloader()
    resumed.set_epoch(1)
    resumed.load_state_dict({"epoch": 1, "batch": 2})
    assert all(torch.equal(a, x) for a, (x, _) in zip(second[2:], resumed, strict=True))
    tests = [torch.cat([x for x, _ in data.test_dataloader()]) for _ in range(2)]
    assert torch.equal(*tests)


def test_bad_folders_are_refused_in_a_sentence(tmp_path, folder):
    with pytest.raises(Exception, match="no folder"):
        zoo.datamodule("wav-folder", root=str(tmp_path / "nowhere"))
    (tmp_path / "one" / "anna").mkdir(parents=True)
    write_wav(tmp_path / "one" / "anna" / "0.wav", torch.zeros(100), 8000)
    with pytest.raises(InputError, match="at least two"):
        zoo.datamodule("wav-folder", root=str(tmp_path / "one"))
    for name in ("ben", "cleo"):
        for file in (folder / name).iterdir():
            if file.stem != "0":
                file.unlink()
    with pytest.raises(InputError, match="takes three"):
        zoo.datamodule("wav-folder", root=str(folder))
    for bad in ({"batch_size": 0}, {"train_size": 0}, {"samples": -1}, {"batch_size": True}):
        with pytest.raises(InputError):
            FSDDMixtures(**bad)


def test_unreadable_recordings_are_skipped_with_a_warning(folder):
    (folder / "anna" / "5.wav").write_text("no sound")
    data = zoo.datamodule("wav-folder", root=str(folder))
    part = next(part for part in ("train", "val", "test") if any(p.stem == "5" for p in data._files[part]["anna"]))
    if len(data._files[part]["anna"]) == 1:
        with pytest.raises(InputError, match="anna"):
            data.voices(part)
    else:
        with pytest.warns(UserWarning, match="skipped"):
            data.voices(part)


@pytest.mark.data
def test_fsdd_has_its_parts_and_always_the_same_mixtures():
    if not (data_root() / FSDDMixtures.folder).is_dir():
        pytest.skip("needs the recordings")
    data = FSDDMixtures()
    assert [[len(v) for v in data.voices(split)] for split in ("train", "val", "test")] == [
        [400] * 6,
        [50] * 6,
        [50] * 6,
    ]
    plans = json.dumps([data.plan("test", i) for i in range(100)], sort_keys=True)
    assert hashlib.sha256(plans.encode()).hexdigest() == data.plan_sha256
    _, voices = data.tensors("test", 8)
    np.testing.assert_allclose(voices.numpy(), sample()[1].numpy(), atol=5e-4)
    x, y = data.tensors("test", 200)
    same = torch.nn.functional.cosine_similarity(y[:, 0], y[:, 1]).abs().mean()
    assert same < 0.1 and torch.isfinite(x).all()
