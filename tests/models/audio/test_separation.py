"""What the shared suites can't know of separators: the way through the spectrogram, the loss, the verb, the command."""

import numpy as np
import pytest
import torch

import zoo
from datamodules.fsdd import sample
from tests.tiny import TINY
from zoo.cli.main import main
from zoo.core.audio import resample, to_waveform, write_wav
from zoo.core.protocols import Separates
from zoo.errors import InputError
from zoo.models.audio.separator import ratio
from zoo.models.audio.unet_separation import UNetSeparation

NAMES = ["unet-separation", "gated-nested-unet-separation"]


def small(name: str = "unet-separation", **init) -> UNetSeparation:
    torch.manual_seed(0)
    return zoo.create(name, **(TINY[name].init | init)).eval()


def sdr(estimate: np.ndarray, target: np.ndarray) -> float:
    """SI-SDR from its definition, in dB."""
    estimate, target = estimate - estimate.mean(), target - target.mean()
    part = (estimate @ target) / (target @ target) * target
    return 10 * np.log10((part @ part) / ((estimate - part) @ (estimate - part)))


def test_the_inverse_spectrogram_is_the_inverse():
    model, x = small().double(), torch.randn(2, 4000, dtype=torch.float64)
    spectrogram = torch.stft(x, 256, 128, window=model.window, return_complex=True)
    torch.testing.assert_close(model.waveform(spectrogram, 4000), x, atol=1e-12, rtol=0)


def test_the_ideal_complex_mask_returns_the_voice():
    model, (mixture, voices) = small(), sample(2)
    mask = model.spectrogram(voices[:, 0]) / model.spectrogram(mixture)
    again = model.waveform(mask * model.spectrogram(mixture), mixture.shape[1])
    torch.testing.assert_close(again, voices[:, 0], atol=2e-4, rtol=0)


def test_ratio_is_its_definition_in_the_better_order_and_knows_no_scale():
    _, voices = sample(3)
    outputs = voices + 0.3 * torch.randn(voices.shape, generator=torch.Generator().manual_seed(0))
    found = ratio(outputs, voices)
    pairs = [(a.numpy(), b.numpy()) for a, b in zip(outputs, voices, strict=True)]
    by_hand = [np.mean([sdr(a[i], b[i]) for i in range(2)]) for a, b in pairs]
    np.testing.assert_allclose(found.numpy(), by_hand, atol=1e-3)
    torch.testing.assert_close(ratio(outputs.flip(1), voices), found)
    torch.testing.assert_close(ratio(7 * outputs, voices), found, atol=1e-3, rtol=0)


def test_twice_as_loud_in_is_twice_as_loud_out():
    model, (mixture, _) = small(), sample(1)
    torch.testing.assert_close(model(2 * mixture), 2 * model(mixture), atol=1e-4, rtol=1e-3)


def test_a_new_complex_mask_leaves_the_phase_as_it_is():
    model, (mixture, _) = small(mask="complex"), sample(1)
    torch.nn.init.zeros_(model.out.weight)
    torch.nn.init.zeros_(model.out.bias)
    masks = model.masks(model.spectrogram(mixture))
    torch.testing.assert_close(masks, torch.full_like(masks, np.log(2)))


@pytest.mark.parametrize("mask", ["magnitude", "complex"])
def test_magnitude_masks_stay_below_one_and_complex_ones_need_not(mask):
    model, (mixture, _) = small(mask=mask), sample(1)
    torch.nn.init.constant_(model.out.bias, 4.0)
    largest = model.masks(model.spectrogram(mixture)).abs().max()
    assert largest <= 1 if mask == "magnitude" else largest > 1.5


def test_difference_masks_sum_to_one():
    model, (mixture, _) = small("gated-nested-unet-separation"), sample(1)
    masks = model.masks(model.spectrogram(mixture))
    torch.testing.assert_close(masks.sum(1), torch.ones_like(masks[:, 0]))
    torch.testing.assert_close(model(mixture).sum(1), mixture, atol=1e-4, rtol=0)


def test_without_gates_and_nested_nodes_it_is_the_plain_unet():
    plain = small()
    nested = small("gated-nested-unet-separation", gated=False, nested=False, difference=False)
    last, state = len(plain.down) - 1, {}
    for key, value in plain.state_dict().items():
        part, _, rest = key.partition(".")
        number, _, tail = rest.partition(".")
        if part == "down":
            state[f"nodes.{number}_0.{tail}"] = value
        elif part == "up":
            state[f"nodes.{last - 1 - int(number)}_{int(number) + 1}.{tail}"] = value
        else:
            state[key] = value
    nested.load_state_dict(state)
    mixture, _ = sample(2)
    torch.testing.assert_close(nested(mixture), plain(mixture))


def test_a_nest_has_every_node_and_gates_stand_on_the_backbone_alone():
    model = small("gated-nested-unet-separation")
    sizes = len(model.hparams["widths"])
    assert len(model.nodes) == sizes * (sizes + 1) // 2
    gated = {name for name, node in model.nodes.items() if any(type(m).__name__ == "GatedConv" for m in node.modules())}
    assert gated == {f"{i}_{j}" for i in range(sizes) for j in range(sizes - i) if j in (0, sizes - 1 - i)}


# The verb --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 100, 8192, 8193, 30_000])
def test_separate_keeps_the_length_whatever_it_is(samples):
    model = small()
    assert isinstance(model, Separates)
    voices = model.separate(torch.randn(samples) / 10)
    assert voices.shape == (2, samples) and voices.dtype == torch.float32 and torch.isfinite(voices).all()


def test_separate_takes_rates_channels_types_and_lists_and_keeps_the_mode():
    model, x = small().train(), np.sin(np.arange(4410) / 9)
    expected = model.separate(x, rate=44_100)
    assert model.training and expected.shape == (2, 4410)
    torch.testing.assert_close(model.separate(np.stack([x, x]), rate=44_100), expected)
    torch.testing.assert_close(model.separate(np.stack([x, x]).T, rate=44_100), expected)
    torch.testing.assert_close(model.separate(x.tolist(), rate=44_100), expected)
    whole = model.separate((x * 32767).round().astype(np.int16), rate=44_100)
    torch.testing.assert_close(whole, expected, atol=2e-3, rtol=0)
    assert not model.separate(np.zeros(9000)).any()


def test_long_sounds_keep_the_order_of_the_voices():
    """A model whose outputs change places with every call: the stretches have to be put back into one order."""

    class Swapping(UNetSeparation):
        calls = 0

        def forward(self, x):
            self.calls += 1
            halves = torch.stack([0.7 * x, 0.3 * x], 1)
            return halves.flip(1) if self.calls % 2 else halves

    t = torch.arange(40_000) / 8000
    x = (2 * torch.pi * 220 * t).sin() * 0.2
    voices = Swapping(widths=(8, 8)).separate(x)
    levels = voices[:, 200:-200].square().mean(1).sqrt() / x.square().mean().sqrt()
    assert sorted(levels.tolist()) == pytest.approx([0.3, 0.7], abs=0.02)


@pytest.mark.parametrize(
    ("sound", "rate", "word"),
    [
        (np.full(100, np.nan), 8000, "NaN"),
        (np.zeros(0), 8000, "sample"),
        (np.zeros((2, 3, 4)), 8000, "channels"),
        ("no-such.wav", None, "no file"),
        (np.zeros(100), 0, "rate"),
        (np.zeros(100), 8000.5, "rate"),
        (object(), 8000, "path"),
    ],
)
def test_bad_sounds_are_refused_in_a_sentence(sound, rate, word):
    with pytest.raises(InputError, match=word):
        small().separate(sound, rate=rate)


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_files_of_every_depth_are_read(kind, tmp_path):
    import soundfile

    x = np.sin(np.arange(3000) / 20) * 0.5
    soundfile.write(tmp_path / "x.wav", np.stack([x, -x], 1), 44_100, subtype=kind)
    sound, rate = to_waveform(tmp_path / "x.wav")
    assert rate == 44_100 and sound.shape == (2, 3000)
    np.testing.assert_allclose(sound[0].numpy(), x, atol=0.01)


def test_a_file_that_is_no_sound_is_named(tmp_path):
    (tmp_path / "x.wav").write_text("no sound")
    with pytest.raises(InputError, match=r"x\.wav"):
        to_waveform(tmp_path / "x.wav")


def test_writing_lowers_what_would_be_cut_and_checks_first(tmp_path):
    loud = torch.sin(torch.arange(1000) / 5) * 3
    sound, _ = to_waveform(write_wav(tmp_path / "x.wav", loud, 8000))
    torch.testing.assert_close(sound[0], loud / loud.abs().max(), atol=1e-4, rtol=0)
    for bad in (tmp_path / "x.txt", tmp_path / "nowhere" / "x.wav"):
        with pytest.raises(InputError):
            write_wav(bad, loud, 8000)


def test_resampling_there_and_back_is_nearly_the_identity():
    x = torch.sin(torch.arange(8000) * 0.3)
    torch.testing.assert_close(
        resample(resample(x, 8000, 44_100), 44_100, 8000)[500:7500], x[500:7500], atol=0.02, rtol=0
    )


def test_the_command_writes_a_file_a_voice_and_says_what_was_gained(tmp_path, capsys):
    mixture, voices = sample(1)
    folder = str(small().save_pretrained(tmp_path / "separator"))
    files = [str(write_wav(tmp_path / f"{i}.wav", x / 10, 8000)) for i, x in enumerate([mixture[0], *voices[0]])]
    out = tmp_path / "out"
    assert main(["separate", folder, files[0], "-o", str(out), "--reference", *files[1:]]) == 0
    line = capsys.readouterr().out
    assert "2 voices, 1.02 s" in line and "SI-SDR" in line
    assert {p.name for p in out.iterdir()} == {"0.voice1.wav", "0.voice2.wav"}
    assert main(["separate", folder, str(tmp_path / "none.wav")]) == 2
    assert main(["separate", folder, files[0], "-o", str(out), "--reference", files[1]]) == 2


def test_a_separator_goes_on_with_a_folder_of_recordings(tmp_path):
    for s, name in enumerate(("anna", "ben")):
        (tmp_path / "voices" / name).mkdir(parents=True)
        for i in range(4):
            tone = torch.sin(torch.arange(2000) / 8000 * 2 * torch.pi * (200 + 250 * s)) * 0.5
            write_wav(tmp_path / "voices" / name / f"{i}.wav", tone, 8000)
    settings = {"batch_size": 2, "train_size": 4, "val_size": 2, "test_size": 2}
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    found = zoo.finetune(
        small(), "wav-folder", root=tmp_path / "voices", settings=settings, epochs=1, scratch=False, into=tmp_path / "mine",
        trainer=quiet,
    )  # fmt: skip
    assert "si_sdr_improvement" in found.after and isinstance(found.model, UNetSeparation)
