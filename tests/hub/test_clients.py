"""The same round trip through other doors: environment variables, the command line, xet, an independent server, the wheel."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

import zoo
from tests import forked
from tests.conftest import ROOT
from tests.hub.conftest import be_client, child_env, use_hub
from tests.hub.folders import make_folder, small_model
from tests.hub.server import HubServer
from zoo.cli import main as cli
from zoo.store import folder as checkpoint
from zoo.store.publish import publish


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("made") / "tiny-mnist")


def test_the_environment_variables_of_the_hub_behave_as_everywhere(hub, folder, as_alice, tmp_path):
    publish(folder, "alice/tiny-mnist", private=True)
    hub.log.clear()
    code = "import sys; from zoo.store.hub import locate; "
    code += "print(locate('hf://alice/tiny-mnist')); assert 'torch' not in sys.modules"

    def process(**env):
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=child_env(hub.url, tmp_path / "new", **env), capture_output=True, text=True)

    refused = process()
    assert (
        refused.returncode and "no repository" in refused.stderr and not list((tmp_path / "new").rglob("*.safetensors"))
    )
    online = process(HF_TOKEN=as_alice)
    assert online.returncode == 0, online.stderr
    assert Path(online.stdout.strip()).is_relative_to(tmp_path / "new") and hub.log
    hub.log.clear()
    offline = process(HF_HUB_OFFLINE="1")
    assert offline.stdout == online.stdout and hub.log == []


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkpoints/ and its index, in place of the real ones."""
    place, index = tmp_path / "tree" / "checkpoints", tmp_path / "tree" / "index.json"
    place.mkdir(parents=True)
    for module in ("zoo.paths", "zoo.store.hub", "zoo.store.cards"):
        monkeypatch.setattr(f"{module}.CHECKPOINTS", place)
    for module in ("zoo.index", "zoo.store.cards"):
        monkeypatch.setattr(f"{module}.INDEX", index)
    zoo.index.entries.cache_clear()
    yield place
    zoo.index.entries.cache_clear()


def script(name):
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_publish_script_pins_what_users_then_load_by_bare_name(hub, as_alice, checkout, monkeypatch, capsys, tmp_path):
    for seed, name in enumerate(("a-mnist", "b-mnist", "c-mnist")):
        make_folder(checkout / name, seed)
    (checkout / "b-mnist" / "metrics.json").write_text("[]")
    command = script("publish").main
    assert command(["--all", "--owner", "alice", "--dry-run"]) == 2 and hub.log == []
    assert command(["--all", "--owner", "alice", "--private"]) == 2  # b is refused, the others go on
    out, err = capsys.readouterr()
    assert "b-mnist" in err and "metrics.json holds no metric" in err and "a-mnist: alice/a-mnist@" in out
    assert set(hub.repos) == {"alice/a-mnist", "alice/c-mnist"} and hub.repos["alice/c-mnist"].private
    index = json.loads((checkout.parent / "index.json").read_text())["models"]
    assert index["c-mnist"]["revision"] == hub.repos["alice/c-mnist"].git.ref("heads/main")
    assert index["c-mnist"]["repo"] == "alice/c-mnist" and "repo" not in index["b-mnist"]
    assert command(["c-mnist", "--owner", "alice"]) == 0 and "(unchanged)" in capsys.readouterr().out
    assert command(["nobody", "--owner", "alice"]) == 2 and "there is no checkpoint named" in capsys.readouterr().err
    shutil.rmtree(checkout)  # what a user has who installed the package: the index alone
    zoo.index.entries.cache_clear()
    assert torch.equal(zoo.load("c-mnist").head.weight, small_model(2).head.weight)
    assert cli.main(["download", "a-mnist"]) == 0
    hub.log.clear()
    assert torch.equal(zoo.load("a-mnist").head.weight, small_model(0).head.weight) and hub.log == []
    assert cli.main(["cache"]) == 0
    assert "alice/a-mnist" in capsys.readouterr().out


def test_stale_card_is_refused(hub, as_alice, checkout, capsys):
    folder = make_folder(checkout / "a-mnist")
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("0.1", "0.99"))
    assert script("publish").main(["a-mnist", "--owner", "alice"]) == 2
    assert "run scripts/cards.py" in capsys.readouterr().err and hub.repos == {}


def publish_by_xet(url, cache, folder):
    be_client(url, cache, "hf_alice_secret", xet=True)
    publish(folder, "alice/tiny-mnist")


def load_by_xet(url, cache, out):
    be_client(url, cache, xet=True)
    from zoo.store.hub import locate

    shutil.copytree(locate("hf://alice/tiny-mnist"), out)


@pytest.mark.skipif(importlib.util.find_spec("hf_xet") is None, reason="hf_xet isn't installed")
def test_round_trip_with_xet(tmp_path, folder):
    store = tmp_path / "xet-store"
    store.mkdir()
    with HubServer(tmp_path / "hub", {"hf_alice_secret": "alice"}, xet=store) as server:
        forked.run(publish_by_xet, server.url, tmp_path / "one", folder)
        assert server.requests("xet-write-token") and not server.requests("lfs/objects/batch|cdn")
        forked.run(load_by_xet, server.url, tmp_path / "two", tmp_path / "loaded")
        assert server.requests("xet-read-token") and not server.requests("GET .*cdn")
        assert not server.errors, server.errors
    assert (tmp_path / "loaded" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert checkpoint.verify(tmp_path / "loaded")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(importlib.util.find_spec("olah") is None, reason="olah isn't installed")
def test_an_independent_server_reads_what_was_published(hub, folder, as_alice, tmp_path, monkeypatch):
    done = publish(folder, "alice/tiny-mnist")
    port = free_port()
    config = tmp_path / "olah.toml"
    config.write_text(
        f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "{tmp_path}/repos"\nmirrors-path = ["{hub.root}"]\n'
        f'mirror-netloc = "127.0.0.1:{port}"\nmirror-lfs-netloc = "127.0.0.1:{port}"\n[accessibility]\noffline = true\n'
    )
    code = "import sys; from olah.server import cli; sys.argv = ['olah-cli', '--config', sys.argv[1]]; cli()"
    log = (tmp_path / "olah.log").open("w")
    server = subprocess.Popen([sys.executable, "-c", code, config], cwd=tmp_path, stdout=log, stderr=log)
    try:
        for _ in range(3000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, (tmp_path / "olah.log").read_text()
            time.sleep(0.02)
        hub.log.clear()
        use_hub(f"http://127.0.0.1:{port}", tmp_path / "by-olah", monkeypatch)
        loaded = zoo.load(f"hf://alice/tiny-mnist@{done.revision}")
        assert torch.equal(loaded.head.weight, small_model().head.weight)
        assert torch.equal(zoo.load("hf://alice/tiny-mnist").head.weight, small_model().head.weight) and hub.log == []
    finally:
        server.terminate()
        server.wait(20)


def test_the_installed_wheel_lists_loads_and_downloads(hub, folder, as_alice, tmp_path):
    done = publish(folder, "alice/tiny-mnist")
    wheel = build_wheel(tmp_path, done)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "zoo/index.json" in names and "zoo/checkpoints/lenet5-mnist/model.safetensors" in names
    assert not [name for name in names if name.startswith(("tests", "scripts", "checkpoints"))]
    python = fresh_environment(tmp_path / "venv")
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, *install, "--ignore-installed", str(wheel)], check=True)
    code = f"""
import sys, zoo
assert zoo.__file__.startswith({str(tmp_path / "venv")!r}), zoo.__file__
assert zoo.list_models() == ["lenet5-mnist", "tiny-mnist"] and "torch" not in sys.modules
from zoo.core import standin
assert standin.install()  # as the commands do, since Lightning takes seconds to import
assert zoo.verify("lenet5-mnist")
import torch
assert zoo.load("lenet5-mnist").predict_proba(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).sum(1).allclose(torch.ones(2))
try:
    zoo.load("tiny-mnist", local_files_only=True)
    raise SystemExit("loaded what isn't there")
except zoo.errors.CheckpointError as error:
    print(error)
print(zoo.load("tiny-mnist").head.weight.double().sum().item())
"""
    hub.log.clear()
    env = child_env(hub.url, tmp_path / "wheel-cache")
    env.pop("PYTHONPATH", None)
    done = subprocess.run([python, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "not on this machine" in done.stdout
    assert float(done.stdout.split()[-1]) == pytest.approx(small_model().head.weight.double().sum().item())
    assert hub.requests("GET .*cdn") and not hub.requests("lenet5-mnist")
    command = [python.parent / "zoo", "list"]
    listed = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert listed.returncode == 0 and "tiny-mnist" in listed.stdout


def build_wheel(tmp_path, published):
    """A wheel of a copy of this tree whose index also holds a model that was published to the test's Hub."""
    tree = tmp_path / "tree"
    for name in ("zoo", "datamodules"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "MANIFEST.in"):
        shutil.copyfile(ROOT / name, tree / name)
    packaged = tree / "checkpoints" / "lenet5-mnist"
    shutil.copytree(ROOT / "checkpoints" / "lenet5-mnist", packaged)
    entry = {"architecture": "lenet5", "task": "image-classification", "dataset": "mnist", "parameters": 1, "size": 1}
    entry |= {"licence": "apache-2.0", "paper": "", "summary": "", "metrics": []}
    config = checkpoint.read_config(packaged)
    pins = {"sha256": published.sha256, "repo": published.repo, "revision": published.revision}
    index = {"lenet5-mnist": entry | {"sha256": config["weights"]["sha256"]}, "tiny-mnist": entry | pins}
    (tree / "zoo" / "index.json").write_text(json.dumps({"models": index}))
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "dist"),
        str(tree),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return next((tmp_path / "dist").glob("*.whl"))


def fresh_environment(place: Path) -> Path:
    """An environment that sees torch and its like through a path file, and nothing of this checkout."""
    import venv

    venv.create(place, with_pip=False, symlinks=True)
    site = next((place / "lib").glob("python*")) / "site-packages"
    heavy = sorted({str(Path(module.__path__[0]).parent) for module in (torch, pytest.importorskip("lightning"))})
    (site / "heavy.pth").write_text("\n".join(heavy) + "\n")
    return place / "bin" / "python"


def test_the_wheel_and_the_checkout_agree_on_what_is_packaged():
    text = (ROOT / "setup.py").read_text()
    from zoo.store.files import LOADED

    assert all(f'"{file}"' in text for file in LOADED) and os.path.exists(ROOT / "MANIFEST.in")
