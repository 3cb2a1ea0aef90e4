"""The packaged real test examples, a few hundred a data set: demos, previews and tests need no download."""

from torch import Tensor

from zoo.errors import InputError
from zoo.paths import ROOT

SAMPLES = ROOT / "datamodules" / "samples"


def sample_split(name: str) -> tuple[Tensor, Tensor]:
    """The packaged real test images of a data set: uint8 [N, C, H, W], and labels int64 [N]. Needs no download."""
    from safetensors.torch import load_file

    path = SAMPLES / f"{name}.safetensors"
    if not path.is_file():
        known = sorted(file.stem for file in SAMPLES.glob("*.safetensors"))
        raise InputError(f"no sample of {name!r} is packaged; there are {', '.join(known)}.")
    tensors = load_file(path)
    return tensors["images"], tensors["labels"].long()
