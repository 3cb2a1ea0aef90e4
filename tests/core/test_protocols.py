import pytest

import zoo
from tests.tiny import TINY
from zoo import registry
from zoo.core import protocols


def fits(architecture):
    return {name for name, p in protocols.protocols().items() if p.fits(registry.architecture(architecture))}


def test_a_conditional_encoder_is_no_plain_one():
    cvae, vae = (zoo.create(name, **TINY[name].init) for name in ("cvae", "vae"))
    assert isinstance(vae, protocols.Encodes) and not isinstance(vae, protocols.EncodesClasses)
    assert isinstance(cvae, protocols.EncodesClasses) and not isinstance(cvae, protocols.Encodes)
    assert not isinstance(
        zoo.create("transformer", **TINY["transformer"].init), protocols.Encodes
    )  # it wants lengths too


@pytest.mark.parametrize(
    ("architecture", "some"),
    [
        ("gpt", {"Generates", "Streams"}), ("bert", {"FillsMasks", "Embeds"}), ("music-transformer", {"Composes"}),
        ("transformer", {"Translates", "Attends"}), ("pixelcnn", {"Samples", "Completes", "Measures"}),
        ("regression-mlp", {"Predicts"}), ("lenet5", {"Classifies"}), ("point-gan", {"SamplesPoints"}),
    ],
)  # fmt: skip
def test_what_some_can_do(architecture, some):
    assert some <= fits(architecture)


def test_verbs_read_as_one_types_them():
    assert "predict(images, top=3)" in protocols.verbs_of(registry.architecture("lenet5"))
    assert "predict(images, top=3)" in zoo.info("lenet5-mnist").verbs
    assert "model.predict(images, top=3)" in str(zoo.info("lenet5-mnist"))


@pytest.mark.parametrize("architecture", sorted(TINY))
def test_every_architecture_can_do_something(architecture):
    assert protocols.verbs_of(registry.architecture(architecture))
