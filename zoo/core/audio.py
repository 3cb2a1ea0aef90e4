"""From anything that is a sound to the waveform that a model takes, and from waveforms to wav files."""

from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.core.files import writing
from zoo.errors import InputError, MissingExtraError

AudioLike = str | Path | np.ndarray | Tensor | list[float]


def to_waveform(audio: AudioLike, rate: int | None = None) -> tuple[Tensor, int | None]:
    """A sound as float32 [channels, samples] with its rate in Hz, from a file or from numbers.

    Args:
        audio: a file that libsndfile reads (wav, flac, ogg, mp3), or an array or tensor [samples], [channels, samples] or
            [samples, channels]; integers are scaled by their type's range.
        rate: samples a second of an array or tensor; a file names its own.

    Raises:
        InputError: for a file that can't be read, no samples, NaN, or a rate that isn't a whole number of at least 1.
    """
    if rate is not None and (isinstance(rate, bool) or int(rate) != rate or rate < 1):
        raise InputError(f"rate is a whole number of samples a second of at least 1, not {rate!r}")
    if isinstance(audio, str | Path):
        samples, rate = _read(Path(audio))
    else:
        samples = _numbers(audio)
    if samples.ndim == 1:
        samples = samples[None]
    elif samples.ndim == 2 and samples.shape[0] > samples.shape[1]:
        samples = samples.T  # [samples, channels], as sound files hold them
    if samples.ndim != 2 or samples.numel() == 0:
        raise InputError(
            f"a sound is [samples] or [channels, samples] with at least one sample, not {list(samples.shape)}"
        )
    if not torch.isfinite(samples).all():
        raise InputError("the sound holds NaN or infinite samples: clean it before the call")
    return samples.contiguous(), None if rate is None else int(rate)


def resample(x: Tensor, before: int, after: int) -> Tensor:
    """x [..., samples] at another rate (polyphase filter), [..., ceil(samples · after / before)]."""
    if before == after:
        return x
    from scipy.signal import resample_poly

    common = gcd(before, after)
    y = resample_poly(x.double().numpy(), after // common, before // common, axis=-1)
    return torch.from_numpy(np.ascontiguousarray(y)).float()


def write_wav(path: str | Path, x: Tensor, rate: int) -> Path:
    """Write x [samples] or [channels, samples] as a 16-bit wav file; returns the path.

    A sound that goes beyond -1 … 1 is made softer as a whole: cut peaks would be heard.

    Raises:
        InputError: for another suffix, or a folder that isn't there.
    """
    path = Path(path)
    if path.suffix.lower() != ".wav":
        raise InputError(f"{str(path)!r} has to end with .wav")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {str(path.parent)!r}: make it first")
    peak = float(x.detach().abs().max()) if x.numel() else 0.0
    samples = (x.detach().float().cpu() / max(1.0, peak)).numpy()
    with writing(path) as file:
        _soundfile().write(file, samples.T if samples.ndim == 2 else samples, rate, subtype="PCM_16")
    return path


def _read(path: Path) -> tuple[Tensor, int]:
    soundfile = _soundfile()
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} can't be read as a sound: {error}") from None
    if not len(samples):
        raise InputError(f"{str(path)!r} holds no samples")
    return torch.from_numpy(samples.T.copy()), int(rate)


def _numbers(audio: Any) -> Tensor:
    if isinstance(audio, Tensor):
        x = audio.detach().cpu()
    else:
        try:
            x = torch.from_numpy(np.array(audio))
        except (TypeError, ValueError):
            raise InputError(
                f"a sound is a file's path, an array or a tensor of numbers, not {type(audio).__name__}"
            ) from None
    if x.dtype in (torch.bool, torch.complex64, torch.complex128):
        raise InputError(f"a sound's samples are real numbers, not {x.dtype}")
    if x.dtype == torch.uint8:
        return (x.float() - 128) / 128  # 8-bit sound has its zero at 128
    if not x.is_floating_point():
        # whole numbers of 16 bits often come in wider types
        bits = 15 if x.dtype == torch.int16 or (x.numel() and int(x.abs().max()) <= 2**15) else 31
        return x.float() / 2**bits
    return x.float()


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError("reading and writing sound files", "soundfile", "audio") from None
    return soundfile
