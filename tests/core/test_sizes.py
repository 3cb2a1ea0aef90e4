"""Other sizes than a model was trained with: images of convolutional networks and ViTs, the context of a GPT."""

import pytest
import torch

import zoo
from zoo.core.images import Transform
from zoo.errors import InputError


def saved(tmp_path, architecture, transform=None, **init):
    torch.manual_seed(0)
    model = zoo.create(architecture, **init).eval()
    model.transform = transform
    if architecture == "gpt":
        model.classes = [chr(65 + i) for i in range(init["vocab_size"])]
    return model, model.save_pretrained(tmp_path / f"{architecture}-small")


GREY = Transform([16, 16], "L", [0.1], [0.3])


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_positions_of_a_vit_are_interpolated(tmp_path, pool):
    from timm.layers import resample_abs_pos_embed

    sizes = {"image_size": 16, "patch": 4, "dim": 8, "depth": 1, "heads": 2, "mlp_dim": 8}
    model, folder = saved(tmp_path, "vit", GREY, num_classes=3, in_channels=1, pool=pool, **sizes)
    larger = zoo.load(folder, image_size=24)
    wanted = resample_abs_pos_embed(model.stem.position, [6, 6], num_prefix_tokens=int(pool == "cls"))
    torch.testing.assert_close(larger.stem.position.detach(), wanted.detach())
    assert larger(torch.rand(2, 1, 24, 24)).shape == (2, 3) and list(larger.transform.size) == [24, 24]
    assert zoo.load(larger.save_pretrained(tmp_path / "again"))(torch.rand(2, 1, 24, 24)).shape == (2, 3)
    same = zoo.load(folder, image_size=16)
    torch.testing.assert_close(same.stem.position.detach(), model.stem.position.detach(), atol=1e-6, rtol=1e-5)
    for wrong in (18, 0, (16, 24)):
        with pytest.raises(InputError, match="a multiple of 4"):
            zoo.load(folder, image_size=wrong)


def test_networks_that_pool_take_any_size_and_dense_ones_say_that_they_cannot(tmp_path):
    _, folder = saved(tmp_path, "resnet-cifar", GREY, in_channels=1, depth=8, width=4)
    model = zoo.load(folder, image_size=(20, 28))
    image = torch.randint(0, 256, (1, 20, 28), dtype=torch.uint8)
    assert len(model.predict(image, top=2)) == 2 and list(model.transform.size) == [20, 28]
    assert model(model.transform(image)[None]).shape == (1, 10)
    _, folder = saved(tmp_path, "unet", GREY, in_channels=1, widths=(4, 4), num_classes=2)
    assert zoo.load(folder, image_size=24)(torch.rand(1, 1, 24, 24)).shape[-2:] == (24, 24)
    lenet, folder = saved(tmp_path, "lenet5", Transform([28, 28], "L", [0.1], [0.3]))
    with pytest.raises(InputError, match=r"can't take images of \[32, 32\]: its layers are made for \[28, 28\]"):
        zoo.load(folder, image_size=32)
    with pytest.raises(InputError, match="size must be a height and a width"):
        zoo.load(folder, image_size=0)
    assert list(lenet.transform.size) == [28, 28]


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_a_gpt_with_a_cut_context_says_the_same_about_what_it_sees(tmp_path, positions):
    sizes = {"vocab_size": 5, "context": 16, "layers": 1, "heads": 2, "width": 8}
    model, folder = saved(tmp_path, "gpt", positions=positions, **sizes)
    short = zoo.load(folder, block_size=6)
    tokens = torch.tensor([[0, 1, 2, 3, 4, 0]])
    torch.testing.assert_close(short(tokens), model(tokens))
    assert short.context == 6 and len(short.generate("A", 12, seed=0)) == 12
    again = zoo.load(short.save_pretrained(tmp_path / "short"))
    torch.testing.assert_close(again(tokens), model(tokens))
    with pytest.raises(InputError, match="a context of 16: block_size can only cut it"):
        zoo.load(folder, block_size=17)


def test_sizes_of_models_that_have_none_are_refused():
    for key, what in (
        ("image_size", "size of images"),
        ("block_size", "context"),
        ("num_classes", "classes or channels"),
    ):
        with pytest.raises(InputError, match=f"it has no {what} to replace"):
            zoo.load("hopfield-digits", **{key: 8})
