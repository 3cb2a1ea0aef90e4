"""The wheel in an environment of its own, without the checkout and without a network: install, README, fine-tune every kind."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from zoo.store import wheels

# of kind: a model that learns it; those that the package doesn't carry come in a wheel of weights
LEARNERS = {
    "image-folder": "lenet5-mnist",
    "unlabelled-folder": "simclr-cifar10",
    "text-file": "rnn-moby-dick",
    "text-folder": "bert-gutenberg",
    "text-csv": "lstm-names",
    "pairs-tsv": "transformer-multi30k",
    "graph-csv": "gcn-cora",
    "smiles-csv": "mpnn-esol",
    "table-csv": "perceptron-iris",
    "dna-fasta": "conv1d-tfbs",
    "midi-folder": "lstm-chorales",
    "mask-folder": "unet-nuclei",
    "box-folder": "yolo-bccd",
    "wav-folder": "unet-separation",
}
SETTINGS = {"wav-folder": ["--data.train_size", "16", "--data.val_size", "4", "--data.test_size", "4"]}
OFFLINE = '''"""No way out: any connection but to this machine is refused."""
import socket

def connect(self, address, _connect=socket.socket.connect):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
        raise OSError("there is no network")
    return _connect(self, address)

socket.socket.connect = connect
'''
FINETUNE = """
import json, sys
from datamodules.examples import EXAMPLES, write_example
from zoo.cli.main import main

learners, settings = json.loads(sys.argv[1]), json.loads(sys.argv[2])
assert set(learners) == set(EXAMPLES), set(learners) ^ set(EXAMPLES)
for kind, name in learners.items():
    root = write_example(kind, f"examples/{kind}")
    quick = ["--epochs", "1", "--no-scratch", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    where = ["--data", kind, "--data.root", str(root), "--into", f"runs/{kind}"]
    assert main(["finetune", name, *where, *quick, *settings.get(kind, [])]) == 0, kind
    assert main(["verify", f"runs/{kind}"]) == 0, kind
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and a wheel of weights, as pip installs them; what they need comes from this environment."""
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    source.mkdir()
    for name in (
        "zoo",
        "datamodules",
        "checkpoints",
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "MANIFEST.in",
    ):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    more = ["simclr-cifar10", "bert-gutenberg", "transformer-multi30k", "conv1d-tfbs", "lstm-chorales", "yolo-bccd"]
    wheels.build("examples", [*more, "unet-separation"], place)
    target = place / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet", "--target", str(target)]
    subprocess.run([*pip, *map(str, sorted(place.glob("*.whl")))], check=True)
    (target / "sitecustomize.py").write_text(OFFLINE)
    return target


def run(site: Path, folder: Path, *arguments: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ZOO_")) and "proxy" not in k.lower()}
    env = kept | {"PYTHONPATH": str(site), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_first_example_of_the_readme(site, tmp_path):
    first = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[0]
    assert 'zoo.load("ddpm-mnist")' in first
    lines = first.split("\n\n")
    (tmp_path / "first.py").write_text("\n\n".join(lines[:3]) + "\nprint(zoo.__file__, zoo.info('ddpm-mnist').where)\n")
    out = run(site, tmp_path, "first.py")
    assert (tmp_path / "digits.png").stat().st_size > 1000
    assert out.splitlines()[-1] == f"{site / 'zoo' / '__init__.py'} bundled"
    missing = subprocess.run(
        [sys.executable, "-m", "zoo", "verify", "resnet18-cifar10"],
        env={**os.environ, "PYTHONPATH": str(site)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert missing.returncode == 2 and "its wheel of weights, lightning-model-zoo-weights-convnets" in missing.stderr


@pytest.mark.slow
def test_every_kind_is_learnt_by_the_command(site, tmp_path):
    out = run(site, tmp_path, "-c", FINETUNE, json.dumps(LEARNERS), json.dumps(SETTINGS))
    for kind in LEARNERS:
        assert f'zoo.load("runs/{kind}")' in out and (tmp_path / "runs" / kind / "finetuning.png").is_file()
    assert out.count("on the held-out part") >= len(LEARNERS)
