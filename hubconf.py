"""Entry points for `torch.hub.load(repo, name)`: every checkpoint under its own name, dots and dashes as underscores."""

from functools import partial

from zoo.api import load
from zoo.index import list_models

dependencies = ["torch", "lightning", "safetensors", "huggingface_hub"]

for _name in list_models():
    globals()[_name.replace("-", "_").replace(".", "_")] = partial(load, _name)
