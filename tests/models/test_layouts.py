"""Models as other libraries build them: the same outputs from the same weights, there and back."""

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import InputError
from zoo.models import layouts


def shaken(architecture, **init):
    torch.manual_seed(0)
    model = zoo.create(architecture, **init).eval()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim:
            nn.init.uniform_(tensor, 0.5, 1.5) if tensor.ndim == 1 else nn.init.normal_(tensor, std=0.2)
    return model


SMALL_VIT = {"image_size": 16, "patch": 4, "dim": 24, "depth": 2, "heads": 3, "mlp_dim": 32}
SMALL_GPT = {"vocab_size": 13, "context": 8, "layers": 2, "heads": 2, "width": 16}
GPT2 = {"positions": "learned", "norm": "layer", "activation": "gelu_tanh"}
SMALL_BERT = {"vocab_size": 13, "context": 8, "layers": 2, "heads": 2, "width": 16}
IMAGES = [
    ("resnet18", {"width": 64, "stem": "imagenet", "num_classes": 7}, layouts.to_torchvision, 64),
    ("resnet18", {"width": 64, "in_channels": 1}, layouts.to_torchvision, 32),
    ("resnet18", {"width": 8, "depth": 34}, layouts.to_timm, 32),
    ("resnet18", {"width": 64, "stem": "imagenet"}, layouts.to_timm, 64),
    ("vgg", {"width": 4}, layouts.to_torchvision, 32),
    ("vgg", {"width": 4, "depth": 13, "batch_norm": False, "in_channels": 1}, layouts.to_torchvision, 32),
    ("vit", SMALL_VIT, layouts.to_timm, 16),
    ("vit", SMALL_VIT | {"pool": "mean", "in_channels": 1}, layouts.to_timm, 16),
]
TEXTS = [
    ("gpt", SMALL_GPT | GPT2 | {"bias": True}, "GPT2LMHeadModel"),
    ("gpt", SMALL_GPT | GPT2 | {"activation": "gelu", "tied": False}, "GPT2LMHeadModel"),
    ("gpt", SMALL_GPT | {"qk_norm": True, "activation": "relu2"}, "ApertusForCausalLM"),
    ("gpt", SMALL_GPT | {"qk_norm": True, "tied": False}, "ApertusForCausalLM"),
    ("bert", SMALL_BERT, "EsmForMaskedLM"),
    ("bert", SMALL_BERT | {"positions": "learned", "norm_first": False}, "BertForMaskedLM"),
]


def back(model, net, architecture, init):
    """A fresh model that takes the other library's weights has the first model's."""
    fresh = layouts.take_weights(zoo.create(architecture, **init), net)
    return all(torch.equal(value, model.state_dict()[key]) for key, value in fresh.state_dict().items())


@pytest.mark.parametrize(("architecture", "init", "build", "size"), IMAGES)
def test_image_networks(architecture, init, build, size):
    model = shaken(architecture, **init)
    net = build(model)
    x = torch.randn(2, init.get("in_channels", 3), size, size)
    with torch.no_grad():
        wanted = model(x)
        torch.testing.assert_close(net(x), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert back(model, net, architecture, init)


@pytest.mark.parametrize(("architecture", "init", "name"), TEXTS)
def test_language_models(architecture, init, name):
    pytest.importorskip("transformers")
    model = shaken(architecture, **init)
    net = layouts.to_transformers(model)
    assert type(net).__name__ == name
    tokens = torch.randint(3, 13, (2, 8))
    with torch.no_grad():
        torch.testing.assert_close(net(tokens).logits, model(tokens), rtol=1e-4, atol=1e-4)
        if architecture == "bert":
            real = torch.arange(8) < torch.tensor([[8], [5]])
            found = net(tokens.where(real, 0), attention_mask=real.long()).logits
            torch.testing.assert_close(found[real], model(tokens.where(real, 0), real)[real], rtol=1e-4, atol=1e-4)
    assert back(model, net, architecture, init)


def test_a_graph_network():
    init = {"num_classes": 3, "in_channels": 5, "hidden_dim": 4, "num_layers": 3}
    model = shaken("gcn", **init)
    net = layouts.to_pyg(model)
    x, edges = torch.rand(9, 5), torch.randint(0, 9, (2, 30))
    with torch.no_grad():
        torch.testing.assert_close(net(x, edges), model(x, edges))
    assert back(model, net, "gcn", init)


@pytest.mark.parametrize("prediction", ["v", "eps"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_schedulers_of_diffusers_draw_what_ddim_draws(prediction, schedule):
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    init = {"image_shape": (1, 8, 8), "width": 8, "timesteps": 1000}
    model = zoo.create("ddpm", prediction=prediction, schedule=schedule, **init).eval()
    scheduler = layouts.noise_scheduler(model)
    scheduler.set_timesteps(8)
    start = x = torch.randn(2, 1, 8, 8)
    for t in scheduler.timesteps:
        with torch.no_grad():
            output = model(x, t.expand(2))
        x = scheduler.step(output, t, x, use_clipped_model_output=True).prev_sample
    wanted = model.trajectory(start, sampler="ddim", steps=8)[-1]
    torch.testing.assert_close(x, wanted, rtol=1e-3, atol=2e-3)


def test_published_gpt2_files_have_no_prefix():
    transformers = pytest.importorskip("transformers")
    from zoo.models.transformers.convert import from_gpt2

    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=13, n_positions=8, n_embd=16, n_layer=1, n_head=2, bos_token_id=None)
    net = transformers.GPT2LMHeadModel(config).eval()
    ours = from_gpt2(net.transformer.state_dict(), heads=2, layout="huggingface")
    tokens = torch.randint(13, (2, 8))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), net(tokens).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "build", "said"),
    [
        (lambda: zoo.create("lenet5"), layouts.to_torchvision, "neither a ResNet18 nor a VGG"),
        (lambda: zoo.create("resnet18", width=8), layouts.to_torchvision, "begins with 64 channels, ResNet18 with 8"),
        (lambda: zoo.create("vit", tokenizer="conv", **SMALL_VIT), layouts.to_timm, "has convolutions before it"),
        (lambda: zoo.create("lenet5"), layouts.to_timm, "neither a ViT nor a ResNet18"),
        (lambda: zoo.create("sage"), layouts.to_pyg, "is no GCN"),
        (lambda: zoo.create("gpt", **SMALL_GPT), layouts.to_transformers, "Apertus has no qk_norm=False"),
        (lambda: zoo.create("bert", **SMALL_BERT, norm_first=False), layouts.to_transformers, "no norm_first=False"),
        (lambda: zoo.create("lenet5"), layouts.to_transformers, "neither a GPT nor a BERT"),
    ],
)
def test_what_a_library_does_not_have_is_said(model, build, said):
    with pytest.raises(InputError, match=said):
        build(model())


def test_weights_of_another_network_are_refused():
    pytest.importorskip("transformers")
    net = layouts.to_timm(shaken("vit", **SMALL_VIT))
    with pytest.raises(InputError, match="doesn't fit"):
        layouts.take_weights(zoo.create("vit", **SMALL_VIT | {"dim": 12}), net)
    other = layouts.to_transformers(shaken("gpt", **SMALL_GPT, **GPT2))
    with pytest.raises(InputError, match="aren't the weights of a network like GPT"):
        layouts.take_weights(zoo.create("gpt", **SMALL_GPT, qk_norm=True), other)
