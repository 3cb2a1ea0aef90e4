"""The app as a client sees it: it answers, refuses in a sentence, lives on, and listens on this machine alone."""

import socket

import httpx
import pytest
from PIL import Image

from zoo.cli.main import main
from zoo.core.samples import sample_split
from zoo.errors import InputError, MissingExtraError

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    import os

    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("gradio"))
    from zoo.app import page

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app, address = page.launch(port=port, block=False)
    yield app, address, port
    app.close()


@pytest.fixture(scope="module")
def client(running):
    from gradio_client import Client

    return Client(running[1], verbose=False, analytics_enabled=False)


def test_it_answers_refuses_and_lives_on(running, client, tmp_path):
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    photo, text, large = tmp_path / "photo.png", tmp_path / "text.png", tmp_path / "large.png"
    Image.fromarray(sample_split("cifar10")[0][0].permute(1, 2, 0).numpy()).save(photo)
    text.write_text("no picture")
    large.write_bytes(b"\0" * 50 * 2**20)
    empty = {"background": None, "layers": [], "composite": None}

    for arguments, name, said in (
        (("speednet-cifar10", handle_file(str(text))), "/classify", "no picture"),
        (("speednet-cifar10", None), "/classify", "no picture yet"),
        ((empty,), "/read_digit", "empty"),
        (("gpt-xor", "", 5, 1.0, 0), "/write", "is empty"),
        (("consistency-mnist", 2, 0, "any", "a seven"), "/draw", "takes no words"),
    ):
        with pytest.raises(AppError, match=said):
            client.predict(*arguments, api_name=name)
    with pytest.raises(ValueError, match="exceeds the maximum file size"):
        client.predict("speednet-cifar10", handle_file(str(large)), api_name="/classify")
    with large.open("rb") as file:  # another program may not ask first
        refused = httpx.post(f"{running[1]}gradio_api/upload", files={"files": ("large.png", file)}, timeout=60)
    assert refused.status_code == 413 and "File size exceeded" in refused.text

    found = client.predict("speednet-cifar10", handle_file(str(photo)), api_name="/classify")
    assert len(found["confidences"]) == 5
    assert client.predict("gpt-xor", "01", 4, 0.0, 0, api_name="/write").startswith("01")


def test_it_listens_on_this_machine_alone_and_says_so(running, capsys):
    _, address, port = running
    assert address.startswith("http://127.0.0.1:")
    with socket.socket() as probe:  # another address of the loopback net isn't served
        assert probe.connect_ex(("127.0.0.2", port)) != 0
    assert main(["app", "--port", str(port)]) == 2
    assert "take another --port" in capsys.readouterr().err


def test_without_gradio_it_says_what_to_install(monkeypatch):
    import sys

    from zoo.app import page

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtraError, match=r"lightning-model-zoo\[app\]"):
        page.gradio()


@pytest.mark.parametrize(
    ("host", "port", "word"), [("nonsense", 7860, "localhost"), ("", 7860, "localhost"), ("::1", -1, "65535")]
)
def test_what_nothing_can_listen_on_is_refused(host, port, word):
    from zoo.app import page

    with pytest.raises(InputError, match=word):
        page.check_address(host, port)
