"""Tiny data sets in the official formats, and a web server to fetch files from."""

import gzip
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from datamodules.cifar10 import CIFAR10
from datamodules.fashion_mnist import FashionMNIST
from datamodules.mnist import MNIST

TRAIN, TEST = 60, 20  # images of a tiny data set


def write_idx(path: Path, values: np.ndarray, *, packed: bool = True) -> None:
    data = struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if packed else data)


def tiny_images(n: int, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)
    return images, (np.arange(n) % 10).astype(np.uint8)


def write_mnist(root: Path, folder: str = "MNIST/raw") -> None:
    for stem, n in (("train", TRAIN), ("t10k", TEST)):
        images, labels = tiny_images(n, (28, 28), seed=n)
        write_idx(root / folder / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(root / folder / f"{stem}-labels-idx1-ubyte.gz", labels)


def write_cifar10(root: Path) -> None:
    (root / CIFAR10.folder).mkdir(parents=True, exist_ok=True)
    for part, files in CIFAR10.files.items():
        n = {"train": TRAIN, "test": TEST}[part] // len(files)
        for i, file in enumerate(files):
            images, labels = tiny_images(n, (3, 32, 32), seed=100 * n + i)
            np.concatenate([labels[:, None], images.reshape(n, -1)], 1).tofile(root / CIFAR10.folder / file)


@pytest.fixture
def tiny_root(tmp_path, monkeypatch) -> Path:
    """ZOO_DATA with tiny MNIST, Fashion-MNIST and CIFAR-10."""
    for kind in (MNIST, CIFAR10):  # Fashion-MNIST has MNIST's
        monkeypatch.setattr(kind, "counts", {"train": TRAIN, "test": TEST})
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    write_mnist(tmp_path)
    write_mnist(tmp_path, "FashionMNIST/raw")
    write_cifar10(tmp_path)
    return tmp_path


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """An empty ZOO_DATA, and mirrors that refuse the connection."""
    root = tmp_path / "empty"
    monkeypatch.setenv("ZOO_DATA", str(root))
    for kind in (MNIST, FashionMNIST, CIFAR10):
        monkeypatch.setattr(kind, "mirrors", ("http://127.0.0.1:9/",))
    return root


class Server:
    """Serves a folder on this machine: `url` + file name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, self, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, server: Server, *args, directory: str) -> None:
        self.zoo_server = server
        super().__init__(*args, directory=directory)

    def do_GET(self) -> None:
        self.zoo_server.asked.append(self.path)
        if self.path.startswith("/cut/"):  # promises more than it sends
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"short")
        else:
            super().do_GET()

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    server = Server(folder)
    yield server
    server.http.shutdown()
    server.http.server_close()
