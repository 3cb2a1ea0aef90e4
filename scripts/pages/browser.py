"""The page whose models run in the browser: ONNX files by `zoo export`, their golden tensors, and onnxruntime-web's own files.

The runtime comes from the npm registry, one version whose hash is written here, and is served with the site: the page asks no
other host. Where npm or the registry can't be had, the site is built without the page.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import zoo
from zoo.core.samples import sample_split
from zoo.paths import CHECKPOINTS
from zoo.store.export import export

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "runs" / "browser"  # the package and the exported models, which are made once
PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
RUNTIME = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
READER, DRAWER = "lenet5-mnist", "consistency-mnist"


def write(place: Path) -> str:
    """Write the page into a folder; returns why not, in a sentence, or nothing."""
    package = fetch()
    if package is None:
        return f"{PACKAGE} {VERSION} can't be had from the npm registry: the page that runs models in the browser is left out"
    shutil.copytree(ROOT / "docs" / "browser", place)
    (place / "ort").mkdir()
    with tarfile.open(package) as archive:
        for member, target in [(f"dist/{name}", name) for name in RUNTIME] + [("package.json", "package.json")]:
            content = archive.extractfile(f"package/{member}")
            assert content is not None
            (place / "ort" / target).write_bytes(content.read())
    for name in (READER, DRAWER):
        shutil.copyfile(exported(name), place / f"{name}.onnx")
    (place / "facts.json").write_text(json.dumps(facts()), encoding="utf-8")
    return ""


def fetch() -> Path | None:
    """The package as npm packs it, with the hash that is expected; None if it can't be had."""
    path = KEPT / f"{PACKAGE}-{VERSION}.tgz"
    if not path.is_file():
        KEPT.mkdir(parents=True, exist_ok=True)
        if shutil.which("npm") is None:
            return None
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        if subprocess.run(command, cwd=KEPT, capture_output=True, check=False).returncode or not path.is_file():
            return None
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(
            f"{path} isn't the {PACKAGE} {VERSION} whose hash is expected: remove it, or look what has changed"
        )
    return path


def exported(name: str) -> Path:
    """The ONNX file of a checkpoint's present weights."""
    sha256 = json.loads((CHECKPOINTS / name / "config.json").read_text(encoding="utf-8"))["weights"]["sha256"]
    path = KEPT / f"{name}-{sha256[:16]}-{torch.__version__}.onnx"
    if not path.is_file():
        KEPT.mkdir(parents=True, exist_ok=True)
        export(zoo.load(name), "onnx", path)
    return path


def facts() -> dict[str, Any]:
    """What the page has to know: the transform, the times, golden tensors, and a test digit of each class."""
    reader: Any = zoo.load(READER)
    drawer: Any = zoo.load(DRAWER)
    read, drawn = (load_file(CHECKPOINTS / name / "golden.safetensors") for name in (READER, DRAWER))
    images, labels = sample_split("mnist")
    return {
        "digits": [images[labels == digit][0].flatten().tolist() for digit in range(10)],
        "reader": {
            "mean": reader.transform.mean[0],
            "std": reader.transform.std[0],
            "shape": list(read["out/input"].shape),
            "input": read["out/input"].flatten().tolist(),
            "output": read["out/logits"].flatten().tolist(),
        },
        "drawer": {
            "times": drawer.ends[:-1].tolist(),
            "steps": drawn["in/t"].tolist(),
            "input": drawn["in/x_t"].flatten().tolist(),
            "output": drawn["out/image"].flatten().tolist(),
        },
    }
