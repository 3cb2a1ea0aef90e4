"""What all separators share: a network paints a mask for each voice, and the masked spectrograms are turned back into sound.

    X = STFT(x),    S_i = M_i · X,    s_i = STFT⁻¹(S_i)

Which voice comes first is arbitrary, so the loss takes the order of the outputs that fits best (permutation-invariant
training; Yu et al., 2017, arXiv:1607.00325). It is the negative scale-invariant signal-to-distortion ratio in dB (Le Roux et al.,
2019, arXiv:1811.02508): how much of an output lies along the voice, against all that doesn't.

A subclass defines `masks(spectrogram)`.
"""

from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio as si_sdr

from zoo.core.audio import AudioLike, resample, to_waveform
from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.files import write_figure
from zoo.core.metric import Better, entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError

SOURCES = 2
SEGMENT = 8192  # samples that are separated at once, as in training


class Separator(ZooModule):
    """Base of the separators of two voices.

    Args:
        rate: samples a second of the sounds it was trained on.
        n_fft: samples of an analysis window.
        hop: samples between two windows.

    Shapes:
        mixtures x: [N, samples]; voices: [N, 2, samples]; spectrograms: complex [N, n_fft / 2 + 1, frames].
    """

    task: ClassVar[str] = "audio-to-audio"
    window: Tensor
    learns_from: ClassVar[tuple[str, ...]] = ("mixtures",)
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"si_sdr_improvement"})
    use: ClassVar[str] = (
        "from datamodules.fsdd import sample\n\n"
        "mixture, _ = sample(1)                            # two people at once, one second\n"
        "print(model.separate(mixture[0]).shape)           # [2, 8192]; a sound file will do, or an array with its rate"
    )

    def __init__(self, rate: int = 8000, n_fft: int = 256, *, hop: int = 128) -> None:
        super().__init__()
        for what, value in (("rate", rate), ("n_fft", n_fft), ("hop", hop)):
            check_count(value, what)
        if hop > n_fft // 2:
            raise InputError(
                f"hop is {hop}; windows of {n_fft} samples have to overlap by half: it's at most {n_fft // 2}"
            )
        self.rate, self.n_fft, self.hop = rate, n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def masks(self, spectrogram: Tensor) -> Tensor:
        """Real or complex masks [N, 2, n_fft / 2 + 1, frames] for spectrograms of mixtures of unit power."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Voices [N, 2, samples] of mixtures [N, samples]; an input twice as loud gives outputs twice as loud."""
        power = x.square().mean(1, keepdim=True).sqrt().clamp(min=1e-8)
        spectrogram = self.spectrogram(x / power)  # [N, F, T]
        voices = self.masks(spectrogram) * spectrogram[:, None]  # [N, 2, F, T]
        return self.waveform(voices.flatten(0, 1), x.shape[1]).unflatten(0, (-1, SOURCES)) * power[:, None]

    def spectrogram(self, x: Tensor) -> Tensor:
        """Complex spectrograms [N, n_fft / 2 + 1, frames] of sounds [N, samples]."""
        x = x if x.dtype == torch.float64 else x.float()  # no spectrogram is known of half-precision numbers
        return torch.stft(x, self.n_fft, self.hop, window=self.window.to(x.dtype), return_complex=True)

    def waveform(self, spectrogram: Tensor, samples: int) -> Tensor:
        """Sounds [N, samples] of spectrograms; the inverse of `spectrogram`."""
        window = self.window.to(spectrogram.real.dtype)
        return torch.istft(spectrogram, self.n_fft, self.hop, window=window, length=samples)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def separate(self, audio: AudioLike, *, rate: int | None = None) -> Tensor:
        """The two voices of a sound, float32 [2, samples] at the sound's own rate; which comes first is left open.

        Args:
            audio: a sound file, or an array or tensor [samples] or [channels, samples]; channels are averaged.
            rate: samples a second of an array or tensor; the model's own by default.

        Sounds of another rate are resampled to the model's and back: nothing above half the model's rate comes through.
        A long sound is separated in overlapping stretches, and each keeps the order of the one before.

        Raises:
            InputError: for what is no sound, see `zoo.core.audio.to_waveform`.
        """
        sound, found = to_waveform(audio, rate)
        given = found or self.rate
        mono = resample(sound.mean(0), given, self.rate).to(self.device)
        voices = self._stretches(mono.float()).cpu()
        voices = resample(voices, self.rate, given)[:, : sound.shape[1]]
        return F.pad(voices, (0, sound.shape[1] - voices.shape[1]))

    def _stretches(self, x: Tensor) -> Tensor:
        """Voices [2, samples] of a mixture [samples] of any length."""
        samples, half = len(x), SEGMENT // 2
        if samples <= SEGMENT:
            return self._one(F.pad(x, (0, max(0, self.n_fft - samples))))[:, :samples]
        steps = -(-samples // half) - 1
        x = F.pad(x, (0, (steps + 1) * half - samples))
        done = x.new_zeros(SOURCES, len(x))
        fade = torch.linspace(0, 1, half, device=x.device)
        for i in range(steps):
            new = self._one(x[i * half : i * half + SEGMENT])
            if i:  # the order whose first half agrees better with the end of what is done
                before = done[:, i * half : (i + 1) * half]
                same, crossed = (before * new[:, :half]).sum(), (before * new.flip(0)[:, :half]).sum()
                new = new if same >= crossed else new.flip(0)
                new = torch.cat([before * (1 - fade) + new[:, :half] * fade, new[:, half:]], 1)
            done[:, i * half : i * half + SEGMENT] = new
        return done[:, :samples]

    def _one(self, x: Tensor) -> Tensor:
        return self(x[None])[0].float()

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        _, voices = labelled(batch)
        if (
            voices.shape[2] > 4 * self.hop
        ):  # a hop less, from a moving start: 8064 samples give 64 frames, which halve well
            start = batch_idx * 37 % (self.hop + 1)
            voices = voices[..., start : start + voices.shape[2] - self.hop]
        loss = -ratio(self(voices.sum(1)), voices).mean()
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        gain = self.improvement(*labelled(batch))
        self.log("val/si_sdr_improvement", gain.mean(), prog_bar=True, batch_size=len(gain))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        gain = self.improvement(*labelled(batch))
        self.log("test/si_sdr_improvement", gain.mean(), batch_size=len(gain))

    def improvement(self, mixture: Tensor, voices: Tensor) -> Tensor:
        """How much nearer than the mixture the outputs are to the voices [N, 2, samples], in dB of SI-SDR, [N]."""
        return ratio(self(mixture), voices) - ratio(mixture[:, None].expand_as(voices), voices)

    @torch.no_grad()
    def evaluate(self, data: L.LightningDataModule) -> list[dict[str, Any]]:
        """Improvement in SI-SDR over the test mixtures: mean, median, and the share that gains less than 1 dB."""
        self.eval()
        data.prepare_data()
        data.setup("test")
        loader = data.test_dataloader()
        gains, levels = [], []
        for mixture, voices in loader:
            mixture, voices = mixture.to(self.device), voices.to(self.device)
            gains.append(self.improvement(mixture, voices))
            levels.append(ratio(self(mixture), voices))
        gain, level = torch.cat(gains), torch.cat(levels)
        how = (
            f"torchmetrics scale_invariant_signal_distortion_ratio (zero_mean) in the better order, mean of two voices, dB over "
            f"the mixture's own; {len(gain)} test mixtures, {str(self.dtype).removeprefix('torch.')}"
        )
        values: dict[str, tuple[Tensor, Better, str]] = {
            "si_sdr_improvement": (gain.mean(), "higher", how),
            "si_sdr_improvement_median": (gain.median(), "higher", how),
            "share_below_1_db": (
                (gain < 1).float().mean(),
                "lower",
                "share of the same mixtures that gain less than 1 dB",
            ),
            "si_sdr": (level.mean(), "higher", "as the improvement, without the mixture's own taken off"),
        }
        return [
            entry(data, "test", metric, value, text, better=better) for metric, (value, better, text) in values.items()
        ]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3, weight_decay=0.01)

    # Golden tensors and preview --------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        """Two sliding tones with overtones, half a second: computed, so that no recording is needed."""
        t = torch.arange(self.rate // 2, dtype=torch.float64) / self.rate
        low = sum((2 * torch.pi * k * (110 + 40 * t) * t).sin() / k for k in range(1, 9))
        high = sum((2 * torch.pi * k * (210 - 60 * t) * t).sin() / k for k in range(1, 7))
        return {"mixture": torch.as_tensor((low + high) / 4)[None].float()}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"voices": self(inputs["mixture"])}

    def preview(self, path: Path) -> Path | None:
        """A packaged test mixture: its spectrogram, the two masks, the two outputs above the two true voices."""
        from datamodules.fsdd import sample

        mixture, voices = sample(1)
        return draw(self, mixture[0], voices[0], path)


def ratio(outputs: Tensor, voices: Tensor) -> Tensor:
    """SI-SDR in dB of outputs [N, 2, samples] against voices, in the order of the outputs that fits better, [N]."""
    same = si_sdr(outputs, voices, zero_mean=True).mean(1)
    # both orders by hand: torchmetrics keeps its permutations, and ones that were made in inference mode can't be trained with
    crossed = si_sdr(outputs.flip(1), voices, zero_mean=True).mean(1)
    return torch.maximum(same, crossed)


@torch.no_grad()
def draw(model: Separator, mixture: Tensor, voices: Tensor, path: Path) -> Path:
    """Spectrograms of a mixture [samples], of the outputs and of the true voices [2, samples], with the masks, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plot

    model.eval()
    outputs = model(mixture[None])[0]
    if (outputs * voices).sum() < (outputs.flip(0) * voices).sum():
        voices = voices.flip(0)
    spectrogram = model.spectrogram(mixture[None])
    masks = model.masks(spectrogram)[0].abs().clamp(max=1)
    shape = (3, 3)
    figure, axes = plot.subplots(*shape, figsize=(9, 5.5), dpi=72, layout="constrained", sharex=True, sharey=True)
    seconds = len(mixture) / model.rate
    box = (0.0, seconds, 0.0, model.rate / 2000)

    def show(place: tuple[int, int], values: Tensor, title: str, log: bool = True) -> None:
        picture = 20 * values.abs().clamp(min=1e-3).log10() if log else values
        limits = (-40, 25) if log else (0, 1)
        axes[place].imshow(
            picture, origin="lower", aspect="auto", extent=box, vmin=limits[0], vmax=limits[1], cmap="magma"
        )
        axes[place].set_title(title, fontsize=9)

    show((0, 0), spectrogram[0], "mixture")
    axes[1, 0].axis("off")
    axes[2, 0].axis("off")
    for i in range(SOURCES):
        show((0, i + 1), masks[i], f"mask {i + 1}", log=False)
        show((1, i + 1), model.spectrogram(outputs[i : i + 1])[0], f"output {i + 1}")
        show((2, i + 1), model.spectrogram(voices[i : i + 1])[0], f"true voice {i + 1}")
    axes[0, 0].set_ylabel("kHz")
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    write_figure(path, figure, colours=64)
    plot.close(figure)
    return path
