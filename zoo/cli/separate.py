"""Take the voices of sound files apart and write each as a wav file."""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

DEFAULT = "unet-separation"

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help=f"a separator; {DEFAULT} where only files are named")
    command.add_argument("files", nargs="*", help="sound files")
    command.add_argument("-o", "--output", type=Path, default=Path("."), help="folder of the wav files")
    command.add_argument(
        "--reference",
        nargs="+",
        metavar="WAV",
        help="the true voices of one file: how much nearer the outputs are to them than the mixture is (SI-SDR, dB)",
    )


def run(options: argparse.Namespace) -> None:
    from zoo.core.audio import to_waveform, write_wav
    from zoo.core.protocols import Separates, meets

    name, files = options.name, options.files
    if not files or Path(name).is_file():
        name, files = DEFAULT, [name, *files]
    if options.reference and len(files) != 1:
        raise InputError(f"--reference takes the true voices of one file, not of {len(files)}")
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"{str(options.output)!r} is a file: -o names the folder of the voices")
    sounds: Any = [to_waveform(file) for file in files]  # all are checked before the work
    stems = [Path(file).stem for file in files]
    if len(set(stems)) < len(stems):
        raise InputError("two of the files have the same name: their voices would overwrite each other")
    model: Any = zoo.load(name)
    if not meets(model, Separates):
        raise InputError(f"{name} is made for {model.task}: it doesn't take sounds apart")
    options.output.mkdir(parents=True, exist_ok=True)
    for file, stem, (sound, rate) in zip(files, stems, sounds, strict=True):
        voices = model.separate(sound, rate=rate)
        level = sound.mean(0).square().mean().clamp(min=1e-12)
        parts = []
        for number, voice in enumerate(voices, 1):
            path = write_wav(options.output / f"{stem}.voice{number}.wav", voice, rate)
            loud = 10 * (voice.square().mean().clamp(min=1e-12) / level).log10()
            parts.append(f"{path} ({loud:+.1f} dB of the mixture)")
        gained = f"   SI-SDR {improvement(sound, voices, options.reference, rate):+.2f} dB" if options.reference else ""
        print(f"{file}: {len(voices)} voices, {sound.shape[1] / rate:.2f} s   {', '.join(parts)}{gained}", flush=True)


def improvement(sound: Any, voices: Any, references: list[str], rate: int) -> float:
    """Mean gain in SI-SDR, dB, of voices over the mixture against the true voices of files, in the better order."""
    import torch
    from torchmetrics.functional.audio import permutation_invariant_training, scale_invariant_signal_distortion_ratio

    from zoo.core.audio import resample, to_waveform

    if len(references) != len(voices):
        raise InputError(f"there are {len(voices)} voices but {len(references)} references: name a file for each")
    true = []
    for reference in references:
        one, its_rate = to_waveform(reference)
        assert its_rate is not None  # a file names its rate
        one = resample(one.mean(0), its_rate, rate)
        if abs(len(one) - voices.shape[1]) > rate // 100:
            raise InputError(f"{reference} lasts {len(one) / rate:.2f} s, the mixture {voices.shape[1] / rate:.2f} s")
        true.append(torch.nn.functional.pad(one, (0, max(0, voices.shape[1] - len(one))))[: voices.shape[1]])
    target, mixture = torch.stack(true)[None], sound.mean(0).expand(len(voices), -1)[None]
    metric = scale_invariant_signal_distortion_ratio
    best, _ = permutation_invariant_training(voices[None], target, metric, zero_mean=True)
    return float(best.mean() - metric(mixture, target, zero_mean=True).mean())
