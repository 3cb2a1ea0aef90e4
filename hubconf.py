"""Entry points for `torch.hub.load(repo, name)`: every checkpoint under its own name, dots and dashes as underscores.

`torch.hub.list(repo)` names them, `torch.hub.help(repo, name)` says what one is; the arguments are those of `zoo.load`.
"""

import datamodules as _datamodules  # noqa: F401  torch.hub forgets the checkout's path once it has called an entry point
from zoo.api import load as _load
from zoo.index import ModelInfo as _ModelInfo
from zoo.index import entries as _entries

dependencies = ["torch", "lightning", "torchvision", "torch_geometric", "timm", "huggingface_hub", "safetensors"]


def _entry_point(info: _ModelInfo):
    def entry_point(**options):
        return _load(info.name, **options)

    entry_point.__doc__ = f"{info.summary}\n\nThe keywords are those of zoo.load({info.name!r})."
    return entry_point


for _name, _info in _entries().items():
    globals()[_name.replace("-", "_").replace(".", "_")] = _entry_point(_info)
