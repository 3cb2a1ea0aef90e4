"""Verbs under a cast: a model in another dtype answers as the plain one does, in ordinary tensors, and keeps its mode."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.sweeps import some
from tests.test_contracts import tensors
from tests.test_registry import ARCHITECTURES, build, with_transform
from tests.tiny import TINY
from zoo import registry
from zoo.core import protocols
from zoo.core.module import ZooModule
from zoo.errors import InputError

PICTURE = torch.arange(3 * 32 * 32).remainder(251).reshape(3, 32, 32).to(torch.uint8)


def given(name: str) -> Any:
    """Two inputs of the tiny batch, or all of what isn't cut into examples, such as a graph."""
    batch = TINY[name].batch()
    inputs = batch[0] if isinstance(batch, tuple) else batch
    return inputs[:2] if isinstance(inputs, Tensor) and inputs.ndim > 1 else inputs


def seen(name: str) -> Tensor:
    """What an agent looks at: one observation, or the empty board."""
    inputs = given(name)
    return inputs["obs"][0] if isinstance(inputs, dict) else torch.zeros(inputs.shape[1:])


def binary(model: ZooModule, name: str) -> Any:
    """Inputs of zeros and ones for a model of such images."""
    return model.binarize(given(name), seed=0) if hasattr(model, "binarize") else given(name)


def few(method: Callable[..., Any]) -> dict[str, int]:
    """As few steps of a solver as will do, where a verb takes any."""
    return {"steps": 2} if "steps" in inspect.signature(method).parameters else {}


def codes(model: ZooModule, name: str) -> Tensor:
    """Codes of the inputs, or any of a model that has no encoder."""
    if (encode := getattr(model, "encode", None)) is None:
        return torch.randn(2, model.hparams["latent_dim"])
    return encode(given(name), **few(encode))


def picture(model: ZooModule) -> Tensor:
    """A picture of as many channels as the model sees."""
    return PICTURE[: model.hparams.get("in_channels", 3)]


CALLS: dict[str, Callable[[ZooModule, str], Any]] = {
    "act": lambda m, n: torch.as_tensor(m.act(seen(n))),
    "values": lambda m, n: m.values(seen(n)),
    "sample": lambda m, n: m.sample(1, seed=0, **few(m.sample)),
    "sample_points": lambda m, n: m.sample_points(4, seed=0),
    "encode": lambda m, n: codes(m, n),
    "reconstruct": lambda m, n: m.reconstruct(given(n)),
    "decode": lambda m, n: m.decode(codes(m, n), **few(m.decode)),
    "interpolate": lambda m, n: m.interpolate(given(n)[0], given(n)[1], steps=2),
    "log_prob": lambda m, n: m.log_prob(binary(m, n), **few(m.log_prob)),
    "bits_per_dim": lambda m, n: m.bits_per_dim(given(n), **few(m.bits_per_dim)),
    "complete": lambda m, n: m.complete(given(n), 27, seed=0),
    "predict": lambda m, n: m.predict(given(n)),
    "predict_proba": lambda m, n: m.predict_proba(given(n)),
    "segment": lambda m, n: m.segment(picture(m), probability=True),
    "detect": lambda m, n: m.detect(picture(m)),
    "colorize": lambda m, n: m.colorize(PICTURE),
    "separate": lambda m, n: m.separate(given(n)[0]),
    "generate": lambda m, n: m.generate("AB", 2, temperature=0),
    "embed": lambda m, n: m.embed("AB" if isinstance(m, protocols.Generates) else given(n)),
    "compose": lambda m, n: m.compose(2, seed=0),
    "recall": lambda m, n: m.recall(torch.ones(1, m.hparams["size"])),
    "forecast": lambda m, n: m.forecast(given(n), 2),
}


def verbs(name: str) -> Iterator[str]:
    """The verbs of an architecture's protocols."""
    kind = registry.architecture(name)
    for protocol in protocols.protocols().values():
        if protocol.fits(kind):
            yield from protocol.methods()


# the last of a kind stands for the others: by their names, those are the smaller ones
PAIRS = sorted({f"{name}.{verb}" for name in ARCHITECTURES for verb in verbs(name) if verb in CALLS}, reverse=True)


def verb_of(pair: str) -> str:
    """One kind for all models with a verb; but each detector has operations of its own."""
    name, _, verb = pair.rpartition(".")
    return f"{name} {verb}" if verb == "detect" else verb


def verb_in_family(pair: str) -> str:
    return f"{registry.family(pair.rpartition('.')[0])} {verb_of(pair)}"


def check(pair: str, dtype: torch.dtype, tolerance: float) -> None:
    name, _, verb = pair.rpartition(".")
    model = with_transform(build(name)).train()
    if isinstance(model, protocols.Generates):
        model.classes = [chr(ord("A") + i) for i in range(model.vocab_size)]
    next(model.children()).eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(0)
    try:
        plain = CALLS[verb](model, name)
    except InputError as error:  # it needs what a tiny batch doesn't hold, and says so
        assert [module.training for module in model.modules()] == modes
        pytest.skip(str(error))
    torch.manual_seed(0)
    found = CALLS[verb](model.to(dtype), name)
    assert [module.training for module in model.modules()] == modes
    for a, b in zip(tensors(plain), tensors(found), strict=True):
        assert not any(t.requires_grad or t.is_inference() for t in (a, b)) and b.isfinite().all()
        torch.testing.assert_close(b.to(a.dtype), a, rtol=tolerance, atol=tolerance)


meant = pytest.mark.filterwarnings(
    "ignore:.*, the size that the model learnt", "ignore:.*cut out the part that is meant"
)


@meant
@pytest.mark.parametrize("pair", some(PAIRS, verb_in_family, few=1))
def test_a_model_of_doubles_answers_as_the_plain_one(pair):
    check(pair, torch.float64, 1e-3)


@meant
@pytest.mark.parametrize("pair", some(PAIRS, verb_of, few=1))
def test_a_model_of_bfloat16_answers_nearly_as_the_plain_one(pair):
    check(pair, torch.bfloat16, 0.1)
