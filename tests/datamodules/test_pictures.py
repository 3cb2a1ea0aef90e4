"""Pictures with maps and boxes: augmentation moves both alike, official formats, drawn data, and a person's own folders."""

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.atoms import Atoms, draw
from datamodules.base import key
from datamodules.box_folder import BoxFolder
from datamodules.camvid import CamVid
from datamodules.canvases import COVERED, draw_canvases, resize
from datamodules.files import DataNotFoundError
from datamodules.formats.boxes import read_coco, read_voc
from datamodules.mask_folder import MaskFolder
from datamodules.nuclei import Nuclei, read_sample
from datamodules.spatial import JointAugment, move_boxes
from zoo.core.images import Transform, stretch
from zoo.core.samples import sample_split
from zoo.errors import InputError


def moved(settings, x, y, seed=0):
    augment = JointAugment(settings, tuple(x.shape[1:]), fill=(0.0,) * x.shape[1], void=9)
    generator = torch.Generator().manual_seed(seed)
    return augment(x, y, index=torch.arange(len(x)), epoch=0, generator=generator)


@pytest.mark.parametrize(
    "settings", [{"flip": True}, {"flip": "both"}, {"dihedral": True}, {"crop": [12, 12], "dihedral": True}]
)
def test_a_map_moves_with_its_picture(settings):
    y = torch.randint(0, 200, (16, 20, 20), dtype=torch.uint8)
    x, marks = moved(settings, y[:, None], y)
    assert torch.equal(x[:, 0].round().to(torch.uint8), marks)  # whole pixels, neither blurred nor shifted apart
    assert not torch.equal(marks[0], y[0, : marks.shape[1], : marks.shape[2]]) or len(marks.unique()) > 1


def test_zoom_keeps_them_together():
    y = torch.zeros(8, 40, 40, dtype=torch.int16)
    y[:, 10:30, 12:28] = 7
    x, marks = moved({"scale": [0.6, 1.6], "shift": 0.1}, (y[:, None] * 30).to(torch.uint8), y)
    bright = x[:, 0] > 105
    agree = (bright == (marks == 7)).float().mean()
    assert agree > 0.97 and (marks == 9).any()  # outside of the picture


@pytest.mark.parametrize("settings", [{"flip": "both"}, {"dihedral": True}, {"scale": [0.8, 1.4]}, {"shift": 0.2}])
def test_boxes_move_with_their_picture(settings):
    x = torch.zeros(16, 1, 48, 48)
    x[:, :, 10:22, 14:34] = 255
    y = torch.tensor([[[2.0, 14, 10, 34, 22], [-1, 0, 0, 0, 0]]]).repeat(16, 1, 1)
    pictures, marks = moved(settings, x, y)
    for picture, box in zip(pictures, marks[:, 0], strict=True):
        if box[0] < 0:
            continue
        rows, columns = (picture[0] > 127).any(1).nonzero()[:, 0], (picture[0] > 127).any(0).nonzero()[:, 0]
        seen = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
        assert (box[1:] - seen).abs().max() <= 1.01
    assert (marks[:, 1, 0] == -1).all()


def test_a_box_that_is_mostly_cut_off_is_no_longer_marked():
    eye, centre = torch.eye(2)[None], torch.tensor([[10.0, 10.0]])
    boxes = torch.tensor([[[0.0, 5, 5, 15, 15], [1, -7, 0, 1, 10]]])
    kept = move_boxes(boxes, eye, centre, (20, 20))[0]
    assert kept[0].tolist() == [0, 5, 5, 15, 15] and kept[1, 0] == -1


def test_augment_refuses_what_it_does_not_know():
    for settings, word in (({"blur": 1}, "no setting blur"), ({"scale": [2, 1]}, "scale"), ({"flip": "up"}, "flip")):
        with pytest.raises(InputError, match=word):
            JointAugment(settings, (1, 8, 8), fill=(0.0,))
    with pytest.raises(InputError, match="squares"):
        JointAugment({"dihedral": True}, (1, 8, 9), fill=(0.0,))


def test_stretch_is_numpy_s_percentiles_and_a_transform_does_it(tmp_path):
    dark = torch.from_numpy(np.random.default_rng(0).integers(3, 40, (1, 30, 50)).astype(np.uint8))
    low, high = np.percentile(dark.numpy(), [1, 99], method="lower")
    expected = ((dark.float() - low) * 255 / (high - low)).round().clamp(0, 255).to(torch.uint8)
    assert torch.equal(stretch(dark, (1, 99)), expected)
    transform = Transform([30, 50], "L", [0.0], [1.0], percentiles=[1, 99])
    assert torch.equal(transform.pixels(dark), expected)
    assert Transform(**transform.to_dict()) == transform
    assert "percentiles" not in Transform([3, 3], "L", [0.0], [1.0]).to_dict()
    with pytest.raises(InputError, match="percentiles"):
        Transform([3, 3], "L", [0.0], [1.0], percentiles=[60, 40])
    flat = torch.full((1, 4, 4), 7, dtype=torch.uint8)
    assert stretch(flat, (1, 99)).unique().numel() == 1


# Drawn data --------------------------------------------------------------------------------------------------------------


def test_canvases_are_the_same_for_ever():
    digits, labels = sample_split("mnist")
    x, y = draw_canvases(digits[:, 0].numpy(), labels.numpy(), "test", 40)
    again = draw_canvases(digits[:, 0].numpy(), labels.numpy(), "test", 40)
    assert torch.equal(x, again[0]) and torch.equal(y, again[1])
    assert hashlib.sha256(resize(digits[0, 0].numpy(), 33).tobytes()).hexdigest() == RESIZED
    count = (y[..., 0] >= 0).sum(1)
    assert count.min() >= 1 and count.max() <= 8 and count.float().mean() > 3
    for picture, boxes in zip(x, y, strict=True):
        real = boxes[boxes[:, 0] >= 0]
        for label, x0, y0, x1, y1 in real.tolist():
            assert 0 <= label <= 9 and 0 <= x0 < x1 <= 128 and 0 <= y0 < y1 <= 128
            assert picture[0, int(y0) : int(y1), int(x0) : int(x1)].max() > 32
        for i in range(len(real)):
            for j in range(i):
                a, b = real[i, 1:], real[j, 1:]
                common = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
                assert common <= COVERED * min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()) + 1e-3
    other, _ = draw_canvases(digits[:, 0].numpy(), labels.numpy(), "val", 40)
    assert not torch.equal(x, other)


RESIZED = "61e38304700fe8cfdd26cd3b78d7d5bb3d5b80542ac57a1709bc2fdc21e3707b"


def test_atoms_lie_where_it_is_bright():
    picture, kinds, atoms = draw(key(0, 2, 0), 2.5)
    assert picture.shape == (1, 96, 96) and set(kinds.unique().tolist()) <= {0, 1, 2}
    for kind, x, y in atoms.tolist():
        assert kinds[min(95, int(y)), min(95, int(x))] == kind
    silicon, carbon = (picture[0][kinds == k].float().mean() for k in (2, 1))
    assert silicon > 1.5 * carbon > 1.5 * picture[0][kinds == 0].float().mean()
    data = Atoms(limit=3, radius=0.8)
    assert len(data.coordinates("val")) == 3 and (data.tensors("val")[1] > 0).float().mean() < 0.03
    with pytest.raises(InputError, match="radius"):
        Atoms(radius=9)


# Official formats --------------------------------------------------------------------------------------------------------


def test_a_folder_of_the_data_science_bowl(tmp_path):
    folder = tmp_path / "abc"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    grey = np.random.default_rng(0).integers(0, 30, (256, 256), dtype=np.uint8)
    Image.fromarray(grey).convert("RGBA").save(folder / "images" / "abc.png")
    for number, rows in enumerate((slice(0, 20), slice(100, 140))):
        mask = np.zeros((256, 256), np.uint8)
        mask[rows, 5:30] = 255
        Image.fromarray(mask).save(folder / "masks" / f"m{number}.png")
    image, instances = read_sample(folder)
    assert torch.equal(image, stretch(torch.from_numpy(grey)[None], Nuclei.percentiles))
    assert instances.unique().tolist() == [0, 1, 2] and (instances == 2).sum() == 40 * 25
    Image.fromarray(np.stack([grey, grey // 2, grey], -1)).save(folder / "images" / "abc.png")
    assert read_sample(folder) is None  # stained tissue
    with pytest.raises(DataNotFoundError, match="stage1_train"):
        Nuclei(root=str(tmp_path)).prepare_data()


def test_camvid_in_any_size_and_format(tmp_path):
    folder = tmp_path / "CamVid"
    for part in ("train", "val", "test"):
        for kind in ("", "annot"):
            (folder / f"{part}{kind}").mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, (36, 48), dtype=np.uint8)
    Image.fromarray(rng.integers(0, 256, (36, 48, 3), dtype=np.uint8)).save(folder / "test" / "a.webp")
    Image.fromarray(labels).save(folder / "testannot" / "a.png")
    data = CamVid(root=str(tmp_path), size=(18, 24))
    x, y = data.load_split("test")
    assert x.shape == (1, 3, 18, 24) and y.shape == (1, 18, 24)
    assert torch.equal(y[0], torch.from_numpy(labels[1::2, 1::2].astype(np.uint8)).to(y.dtype))
    with pytest.raises(InputError, match="has 1 images"):
        data.tensors("test")
    Image.fromarray(labels + 90).save(folder / "testannot" / "a.png")
    with pytest.raises(InputError, match="classes are 0 to 10"):
        data.load_split("test")
    Image.fromarray(np.zeros((36, 48, 3), np.uint8)).save(folder / "testannot" / "a.png")
    with pytest.raises(InputError, match="in colours"):
        data.load_split("test")
    Image.fromarray(labels[:9]).save(folder / "testannot" / "a.png")
    with pytest.raises(InputError, match="must agree"):
        data.load_split("test")
    (folder / "testannot" / "a.png").unlink()
    with pytest.raises(InputError, match="no map"):
        data.load_split("test")


VOC = (
    "<annotation><filename>{name}.jpg</filename><size><width>60</width><height>40</height><depth>3</depth></size>"
    "{objects}</annotation>"
)
OBJECT = (
    "<object><name>{0}</name><bndbox><xmin>{1}</xmin><ymin>{2}</ymin><xmax>{3}</xmax><ymax>{4}</ymax></bndbox></object>"
)


def voc(path, *objects):
    path.write_text(VOC.format(name=path.stem, objects="".join(OBJECT.format(*one) for one in objects)))
    return path


def test_voc_counts_from_one_and_bad_boxes_are_mended(tmp_path):
    path = voc(tmp_path / "a.xml", ("cat", 1, 1, 60, 40), ("dog", 30, 20, 11, 10), ("cow", 50, 5, 99, 30))
    boxes = read_voc(path).boxes
    assert boxes[0] == ("cat", 0, 0, 60, 40)  # the whole picture
    assert boxes[1][1:] == (11, 10, 29, 19) and boxes[2][1:] == (49, 4, 60, 30)
    assert read_voc(path, one_based=False).boxes[0] == ("cat", 1, 1, 60, 40)
    with pytest.warns(UserWarning, match="no area"):
        assert read_voc(voc(tmp_path / "b.xml", ("cat", 5, 5, 5, 9))).boxes == []
    (tmp_path / "c.xml").write_text("<annotation>")
    with pytest.raises(InputError, match="VOC"):
        read_voc(tmp_path / "c.xml")


def test_coco_leaves_crowds_out(tmp_path):
    table = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 60, "height": 40}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {"image_id": 5, "category_id": 3, "bbox": [10, 5, 20, 30]},
            {"image_id": 5, "category_id": 3, "bbox": [0, 0, 60, 40], "iscrowd": 1},
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(table))
    assert read_coco(path)[0].boxes == [("cat", 10, 5, 30, 35)]
    table["annotations"][0]["category_id"] = 8
    path.write_text(json.dumps(table))
    with pytest.raises(InputError, match="isn't listed"):
        read_coco(path)


# A person's own folders --------------------------------------------------------------------------------------------------


def cells(root, n=12):
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        picture, mask = rng.integers(0, 20, (48, 40), dtype=np.uint8), np.zeros((48, 40), np.uint8)
        for top, left in ((4, 5), (26, 18)):
            picture[top : top + 14, left + i : left + i + 12] += 180
            mask[top : top + 14, left + i : left + i + 12] = 255
        Image.fromarray(picture).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    return root


def test_masks_of_two_values(tmp_path):
    root = cells(tmp_path / "cells")
    data = MaskFolder(str(root), size=(48, 40), transform={"size": [8, 8], "mode": "L", "mean": [0.0], "std": [1.0]})
    assert data.classes == ("background", "object")
    sizes = [len(data.tensors(split)[0]) for split in ("train", "val", "test")]
    assert sum(sizes) == 12 and min(sizes) >= 1
    assert data.tensors("test")[1].unique().tolist() == [0, 1]
    objects = MaskFolder(str(root), size=(48, 40), instances=True)
    assert objects.tensors("test")[1].unique().tolist() == [0, 1, 2]
    for bad, word in ((tmp_path / "no", "no folder"), (tmp_path, "images and masks")):
        with pytest.raises((InputError, DataNotFoundError), match=word):
            MaskFolder(str(bad))
    Image.fromarray(np.zeros((48, 40), np.uint8)).save(root / "masks" / "0.png")
    for file in (root / "masks").iterdir():
        Image.fromarray(np.zeros((48, 40), np.uint8)).save(file)
    with pytest.raises(InputError, match="mark nothing"):
        MaskFolder(str(root))


def test_boxes_of_voc_and_coco_are_the_same(tmp_path):
    for name in ("voc", "coco"):
        (tmp_path / name / "images").mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (60, 40), (i, 0, 0)).save(tmp_path / name / "images" / f"{i}.jpg")
    for i in range(8):
        voc(tmp_path / "voc" / f"{i}.xml", ("cat", 11, 6, 30, 35))
    table = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in range(8)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": i, "category_id": 1, "bbox": [10, 5, 20, 30]} for i in range(8)],
    }
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(table))
    a, b = (BoxFolder(str(tmp_path / name), size=(80, 120)).tensors("train") for name in ("voc", "coco"))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert a[1][0, 0].tolist() == [0, 20, 10, 60, 70]  # in the pixels of 120 x 80
    (tmp_path / "voc" / "images" / "3.jpg").unlink()
    with pytest.raises(InputError, match=r"3\.jpg"):
        BoxFolder(str(tmp_path / "voc"))
    with pytest.raises(InputError, match="no annotations"):
        BoxFolder(str(tmp_path))


@pytest.mark.parametrize("kind", ["mask-folder", "box-folder"])
def test_a_model_learns_from_a_folder(kind, tmp_path):
    """The command's way: the data module that suits the model, its classes, one short epoch."""
    import lightning as L

    import zoo
    from zoo.core.images import Transform

    if kind == "mask-folder":
        root = cells(tmp_path / "cells")
        model = zoo.create("unet", num_classes=3, widths=(4, 4))
    else:
        root = tmp_path
        for i in range(10):
            Image.new("L", (60, 40), 20 * i).save(root / f"{i}.jpg")
            voc(root / f"{i}.xml", (("cat", "dog")[i % 2], 11, 6, 30, 35))
        model = zoo.create("yolo", num_classes=3, in_channels=1, widths=(4, 4), stem=8, depth=0)
    model.transform = Transform([64, 64], "L", [0.1], [0.3])
    settings = model.data_settings(kind)
    data = zoo.datamodule(kind, root=str(root), batch_size=4, **settings)
    model.adapt_to(data)
    assert model.num_classes == 2
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(fast_dev_run=1, accelerator="cpu", default_root_dir=tmp_path, **quiet).fit(model, datamodule=data)
    assert all(0 <= e["value"] for e in model.measure(data))
    assert model.classes == list(data.classes)
