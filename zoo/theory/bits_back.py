"""Bits-back coding: a variational autoencoder as a lossless compressor (Hinton and van Camp, 1993; Townsend et al., 2019,
arXiv:1901.04866).

To send an image x, draw a code z, send z under the prior and x under p(x | z). The draw wastes −log q(z | x): unless z is
drawn by decoding bits of the message so far, which the receiver, who knows q(z | x) once x is decoded, gets back. An image
then costs

    E_q [ −log p(z) − log p(x | z) + log q(z | x) ] = −ELBO(x)

nats, which an asymmetric numeral system (Duda, 2009), a stack of bits, reaches up to a small share. (One textbook leaves the
last term out.) Codes lie on a grid of step d, whose size cancels: it is paid under the prior and got back from the posterior.

Sender and receiver must compute bit for bit the same networks, so each image runs by itself, and the bytes are read by the
same model on the same kind of machine. A checksum shows when they weren't.
"""

import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError, MissingExtraError

MAGIC = b"ZBB1"
HEADER = struct.Struct("<4s8sIHHHHIqI")  # magic, model, images, C, H, W, steps of the grid, start words, seed, checksum
REACH = 8  # codes beyond so many deviations of the prior don't occur
FLOOR = 1e-6  # a pixel's least probability
STEPS = 16  # of the grid, for a deviation of the prior: finer ones gain nothing
LARGEST = 2**28  # images × pixels that a file may claim


@dataclass(frozen=True)
class Report:
    """What a message costs.

    Attributes:
        data: the bytes.
        images, dimensions: how many images, and pixels of each.
        start_bits: random bits that the stack began with; they are in the bytes, and are got back at the end.
        net_bits: bits beyond those.
    """

    data: bytes
    images: int
    dimensions: int
    start_bits: int
    net_bits: int

    @property
    def bits_per_dim(self) -> float:
        """Net bits a pixel, to be compared with −ELBO / (ln 2 · pixels)."""
        return self.net_bits / (self.images * self.dimensions)


def compress(model: Any, images: Tensor, seed: int = 0) -> bytes:
    """Binary images [N, C, H, W] as bytes that `decompress` turns back exactly; their number travels along.

    Args:
        model: a variational autoencoder of binary pixels, such as `zoo.load("vae-mnist")`.
        seed: of the random bits that the stack begins with.

    Raises:
        InputError: for images that aren't binary or of another shape, or a model of another kind.
    """
    return report(model, images, seed).data


def report(model: Any, images: Tensor, seed: int = 0, *, steps: int = STEPS, start_words: int | None = None) -> Report:
    """As `compress`, with what it costs.

    Args:
        steps: grid points a standard deviation of the prior.
        start_words: random 32-bit words that the stack begins with; None for enough to draw the first code.
    """
    coder_class, gaussian, bernoulli = _constriction()
    x, shape = _binary(model, images)
    latent = _latent(model)
    words = start_words if start_words is not None else 4 + latent // 2
    if not 1 <= steps <= 4096:
        raise InputError(f"steps must be 1 to 4096 grid points a deviation, not {steps!r}")
    coder = coder_class(_start(words, seed))
    before = coder.num_valid_bits()
    code = gaussian(-REACH * steps, REACH * steps)
    with _alone(model) as network:
        for image in x:
            mean, deviation = _posterior(network, image, steps)
            z = coder.decode(code, mean, deviation)
            coder.encode_reverse(image.numpy().astype(np.int32).ravel(), bernoulli, _pixels(network, z, steps))
            coder.encode_reverse(z, code, np.zeros(latent), np.full(latent, float(steps)))
    checksum = zlib.crc32(x.numpy().astype(np.uint8).tobytes())
    header = HEADER.pack(MAGIC, digest(model), len(x), *shape, steps, words, seed, checksum)
    data = header + coder.get_compressed().astype("<u4").tobytes()
    return Report(data, len(x), math.prod(shape), before, coder.num_valid_bits() - before)


def decompress(model: Any, data: bytes) -> Tensor:
    """The images float32 [N, C, H, W] of 0 and 1 that `compress` was given.

    Raises:
        InputError: for bytes that aren't such a message, are damaged, or were made by another model or on another machine.
    """
    coder_class, gaussian, bernoulli = _constriction()
    if len(data) < HEADER.size or data[:4] != MAGIC or (len(data) - HEADER.size) % 4:
        raise InputError("these bytes are no message of zoo.theory.bits_back: they begin or end otherwise")
    _, made_by, count, *shape, steps, words, seed, checksum = HEADER.unpack_from(data)
    if made_by != digest(model):
        raise InputError("these images were compressed by another model: load the one that made the message")
    if tuple(shape) != tuple(model.image_shape) or not 1 <= steps <= 4096 or count * math.prod(shape) > LARGEST:
        raise InputError("the header of these bytes is damaged: it claims other images than the model makes")
    latent, pixels = _latent(model), math.prod(shape)
    coder = coder_class(np.frombuffer(data, dtype="<u4", offset=HEADER.size).astype(np.uint32))
    code = gaussian(-REACH * steps, REACH * steps)
    found = torch.zeros(count, *shape)
    with _alone(model) as network:
        for i in reversed(range(count)):
            z = coder.decode(code, np.zeros(latent), np.full(latent, float(steps)))
            image = coder.decode(bernoulli, _pixels(network, z, steps))
            found[i] = torch.from_numpy(image.astype(np.float32)).reshape(*shape)
            mean, deviation = _posterior(network, found[i], steps)
            coder.encode_reverse(z, code, mean, deviation)
            if not pixels:
                break
    whole = zlib.crc32(found.numpy().astype(np.uint8).tobytes()) == checksum
    if not whole or not np.array_equal(coder.get_compressed(), _start(words, seed)):
        raise InputError(
            "the checksum of the decoded images is wrong: the bytes are damaged, or this machine computes the model's numbers "
            "differently from the one that compressed them"
        )
    return found


def digest(model: torch.nn.Module) -> bytes:
    """Eight bytes that name a model's weights."""
    h = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return h.digest()


def two_gaussians(mean: float, deviation: float = 1.0, step: float = 0.01) -> tuple[float, float, float]:
    """Mean code lengths in bits of a number drawn from two equal Gaussians at ±mean, to the precision `step`.

    Returns:
        that of always naming the likelier Gaussian, that of choosing one by the posterior and getting those bits back, and the
        entropy of the source, which the second equals (Frey and Hinton, 1997).

    Raises:
        InputError: for a deviation or a step that isn't above 0.
    """
    if not deviation > 0 or not step > 0 or not math.isfinite(mean):
        raise InputError(
            f"deviation and step must be above 0 and mean finite, not {deviation!r}, {step!r} and {mean!r}"
        )
    reach = abs(mean) + 12 * deviation
    x = torch.arange(-reach, reach + step / 2, step, dtype=torch.float64)
    log_p = torch.stack([torch.distributions.Normal(m, deviation).log_prob(x) for m in (mean, -mean)])
    log_p = log_p + math.log(step) - math.log(2)  # log p(z) p(x | z)
    source = log_p.logsumexp(0)
    weight = source.exp()
    weight = weight / weight.sum()
    posterior = (log_p - source).exp()
    shortest = -(weight * log_p.amax(0)).sum()
    back = (
        weight * (posterior * (torch.special.xlogy(posterior, posterior) / posterior.clamp(min=1e-300) - log_p)).sum(0)
    ).sum()
    entropy = -(weight * source).sum()
    return shortest.item() / math.log(2), back.item() / math.log(2), entropy.item() / math.log(2)


def _constriction() -> tuple[Any, Any, Any]:
    try:
        import constriction
    except ImportError:
        raise MissingExtraError("bits-back coding", "constriction", "compress") from None
    stream = constriction.stream
    return stream.stack.AnsCoder, stream.model.QuantizedGaussian, stream.model.Bernoulli(perfect=False)


def _binary(model: Any, images: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    if not all(hasattr(model, name) for name in ("posterior", "logits", "latent_dim", "image_shape")):
        raise InputError(
            f"{type(model).__name__} is no variational autoencoder of binary pixels: take one such as vae-mnist"
        )
    channels, height, width = model.image_shape
    shape = (channels, height, width)
    x = torch.as_tensor(images).detach().cpu().float()
    if x.ndim == 3 and tuple(x.shape) == shape:
        x = x[None]
    if x.ndim != 4 or tuple(x.shape[1:]) != shape:
        raise InputError(f"images are [N, {', '.join(map(str, shape))}], not {list(x.shape)}")
    if ((x != 0) & (x != 1)).any():
        raise InputError("pixels must be 0 or 1: round them, or draw them by model.binarize(x, seed=…)")
    return x, shape


def _latent(model: Any) -> int:
    return int(model.latent_dim)


def _start(words: int, seed: int) -> np.ndarray:
    """Random words, of which the last isn't 0, as the stack takes it."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.integers(1, 2**32, size=words, dtype=np.uint32)


@contextmanager
def _alone(model: Any) -> Iterator[Any]:
    """The model in eval mode on the CPU's one thread: the same sums in the same order for sender and receiver."""
    training, threads = model.training, torch.get_num_threads()
    torch.set_num_threads(1)
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(training)
        torch.set_num_threads(threads)


def _posterior(model: Any, image: Tensor, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of q(z | x) in steps of the grid."""
    mean, log_var = model.posterior(image[None].to(model.device))
    limit = (REACH - 1.0) * steps
    mean = (mean[0].cpu().double() * steps).clamp(-limit, limit)
    return mean.numpy(), ((0.5 * log_var[0].cpu().double()).exp() * steps).clamp(1e-2, limit).numpy()


def _pixels(model: Any, z: np.ndarray, steps: int) -> np.ndarray:
    """Probabilities of the pixels given a code on the grid."""
    code = torch.from_numpy(z.astype(np.float32) / steps)[None].to(model.device)
    return model.logits(code)[0].flatten().cpu().double().sigmoid().clamp(FLOOR, 1 - FLOOR).numpy()
