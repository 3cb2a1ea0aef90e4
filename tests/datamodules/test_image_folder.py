import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.files import DataNotFoundError, data_root
from datamodules.image_folder import ImageFolder, hold_out
from zoo.core.images import Transform
from zoo.errors import InputError


def draw(path: Path, colour: int, size: tuple[int, int] = (20, 14)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), colour, np.uint8)).save(path)
    return path


@pytest.fixture
def flowers(tmp_path) -> Path:
    """Ten roses and twenty tulips; every image has a colour of its own."""
    root = tmp_path / "flowers"
    for i in range(10):
        draw(root / "rose" / f"{i}.png", i)
    for i in range(20):
        draw(root / "tulip" / "sub" / f"{i}.PNG", 100 + i, (9 + i, 30))
    return root


def colours(data: ImageFolder, split: str) -> list[int]:
    return data.tensors(split)[0][:, 0, 0, 0].tolist()


def test_folder_is_split_by_class_the_same_way_every_time(flowers):
    data = ImageFolder(str(flowers), image_size=8)
    assert data.classes == ("rose", "tulip")
    parts = {split: colours(data, split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 20, "val": 5, "test": 5}
    assert len(set().union(*parts.values())) == 30
    assert [sum(c >= 100 for c in parts[split]) for split in ("train", "val", "test")] == [14, 3, 3]
    for split, part in parts.items():
        assert data.tensors(split)[1].tolist() == [int(c >= 100) for c in part]
        assert colours(ImageFolder(str(flowers), image_size=8, seed=5), split) == part


def test_hold_out_keeps_every_class_in_every_part():
    y = torch.tensor([0] * 100 + [1] * 3 + [2] * 2 + [3])
    parts = hold_out(y, {"val": 0.15, "test": 0.15})
    counts = {part: y[index].bincount(minlength=4).tolist() for part, index in parts.items()}
    assert counts == {"train": [70, 1, 2, 1], "val": [15, 1, 0, 0], "test": [15, 1, 0, 0]}
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(len(y)))
    assert hold_out(y, {"val": 0.0})["val"].tolist() == []


def test_folders_of_the_owner_are_the_split(tmp_path):
    for part, first in (("train", 0), ("val", 50), ("test", 90)):
        for i in range(4):
            draw(tmp_path / part / "ants" / f"{i}.png", first + i)
            draw(tmp_path / part / "bees" / f"{i}.png", 100 + first + i)
    data = ImageFolder(str(tmp_path), image_size=4)
    assert sorted(colours(data, "val")) == [50, 51, 52, 53, 150, 151, 152, 153]
    assert sorted(colours(data, "test"))[0] == 90
    assert len(colours(data, "train")) == 8


def test_a_part_without_its_folder_is_held_out_of_the_training_images(tmp_path):
    for i in range(10):
        draw(tmp_path / "train" / "ants" / f"{i}.png", i)
        draw(tmp_path / "train" / "bees" / f"{i}.png", 100 + i)
    draw(tmp_path / "val" / "ants" / "a.png", 50)
    draw(tmp_path / "val" / "bees" / "b.png", 150)
    data = ImageFolder(str(tmp_path), image_size=4, test_share=0.2)
    assert sorted(colours(data, "val")) == [50, 150]
    assert len(colours(data, "test")) == 4
    assert len(set(colours(data, "train")) | set(colours(data, "test"))) == 20


def test_transform_of_a_network_decides_size_mode_mean_and_std(flowers):
    settings = {
        "size": [10, 6],
        "mode": "L",
        "mean": [0.3],
        "std": [0.2],
        "interpolation": "bicubic",
        "antialias": False,
    }
    transform = Transform(**settings)
    data = ImageFolder(str(flowers), transform=transform)
    assert data.preprocess == settings
    assert data.image_shape == (1, 10, 6)
    x, y = next(iter(ImageFolder(str(flowers), 30, transform=transform, val_share=0, test_share=0).train_dataloader()))
    rose = transform(flowers / "rose" / "4.png")  # what a network sees when it predicts
    assert any(torch.allclose(image, rose, atol=1e-6) for image in x[y == 0])
    duck = SimpleNamespace(size=(10, 6), mode="L", mean=(0.3,), std=(0.2,))
    assert ImageFolder(str(flowers), transform=duck).preprocess["size"] == [10, 6]
    assert ImageFolder(str(flowers), transform=settings).preprocess == settings
    raw = ImageFolder(str(flowers), transform=transform, normalize=False)
    assert raw.preprocess == settings | {"mean": [0.0], "std": [1.0]}


def test_hyper_parameters_are_json_and_rebuild_it(flowers):
    transform = Transform(size=(5, 5), mode="RGB", mean=(0.1,) * 3, std=(0.2,) * 3)
    data = ImageFolder(flowers, 7, transform=transform, augment={"flip": True, "mixup": 0.2}, val_share=0.3)
    again = ImageFolder(**json.loads(json.dumps(dict(data.hparams))))
    assert dict(again.hparams) == dict(data.hparams)
    assert again.preprocess == data.preprocess
    ours, theirs = next(iter(data.train_dataloader())), next(iter(again.train_dataloader()))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    assert ours[1].shape == (7, 2)


@pytest.mark.filterwarnings("ignore:.*left out for their suffix")
def test_unreadable_files_are_skipped_with_their_number_and_names(flowers):
    (flowers / "rose" / "broken.png").write_bytes(b"no image")
    (flowers / "tulip" / "half.png").write_bytes((flowers / "rose" / "1.png").read_bytes()[:50])
    (flowers / "rose" / "notes.txt").write_text("not an image, so not missed")
    data = ImageFolder(str(flowers), image_size=4)
    with pytest.warns(UserWarning, match=r"2 of 32 files in .* can't be read and are skipped: broken.png, half.png$"):
        data.setup("fit")
    assert sum(len(data.tensors(split)[0]) for split in ("train", "val", "test")) == 30


@pytest.mark.filterwarnings("ignore:.*are skipped")
def test_folders_that_cannot_work_are_named(tmp_path, flowers):
    with pytest.raises(DataNotFoundError, match=r"there is no folder '.*nowhere'"):
        ImageFolder(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty' holds no images: it needs a sub-folder of images per class"):
        ImageFolder(str(tmp_path / "empty"))
    draw(tmp_path / "empty" / "loose.png", 1)  # images beside the class folders don't count
    with pytest.raises(InputError, match="holds no images"):
        ImageFolder(str(tmp_path / "empty"))
    draw(tmp_path / "one" / "rose" / "1.png", 1)
    with pytest.raises(InputError, match="has the one class 'rose': it takes two to tell apart"):
        ImageFolder(str(tmp_path / "one"))
    (flowers / "daisy").mkdir()
    with pytest.raises(InputError, match=r"class folder daisy in .* is empty: fill it or remove it"):
        ImageFolder(str(flowers))
    (flowers / "daisy" / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"no file of class daisy in .* can be read"):
        ImageFolder(str(flowers)).tensors("train")


def test_class_unknown_to_train_is_named(tmp_path):
    for part in ("train", "test"):
        for name in ("ants", "bees"):
            draw(tmp_path / part / name / "1.png", 1)
    draw(tmp_path / "test" / "wasps" / "1.png", 1)
    with pytest.raises(InputError, match="has the class wasps, which train lacks: rename or remove it"):
        ImageFolder(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"image_size": 0}, "image_size is 0"),
        ({"val_share": 0.5, "test_share": 0.5}, "must leave something to train on"),
        ({"augment": {"crop": 3}}, "augment has no setting 'crop'; it knows flip"),
        ({"transform": {"size": [4, 4], "mode": "CMYK", "mean": [0], "std": [1]}}, "mode must be one of L, RGB"),
    ],
)
def test_bad_arguments_are_named(flowers, arguments, message):
    with pytest.raises(InputError, match=message):
        ImageFolder(str(flowers), **arguments)


@pytest.mark.data("hymenoptera")
def test_real_folder_of_ants_and_bees():
    root = data_root() / "hymenoptera"
    data = ImageFolder(str(root), image_size=32)
    assert data.classes == ("ants", "bees")
    counts = [data.tensors(split)[1].bincount().tolist() for split in ("train", "val", "test")]
    assert counts == [[105, 103], [70, 83], [18, 18]]
