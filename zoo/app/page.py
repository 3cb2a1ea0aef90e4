"""The page of the demo app, a tab for each kind of verb. What can't work is said in one sentence, and the app lives on."""

import functools
import ipaddress
import os
from collections.abc import Callable
from typing import Any

from zoo.app import answers
from zoo.core.samples import SAMPLES, sample_split
from zoo.errors import InputError, MissingExtraError, ZooError

LARGEST = "10mb"  # of a file that is sent to the app
PORT = 7860
METHODS = ("integrated-gradients", "saliency", "smoothgrad", "occlusion", "grad-cam", "lime")


def gradio() -> Any:
    """The package, which is asked not to report its use.

    Raises:
        MissingExtraError: where it isn't installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError:
        raise MissingExtraError("the app", "gradio", "app") from None
    return gradio


def answering(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its errors as Gradio shows them: a sentence, and no traceback."""
    gr = gradio()

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        try:
            return function(*args)
        except ZooError as error:
            raise gr.Error(str(error), print_exception=False) from None

    @functools.wraps(function)
    def stream(*args: Any) -> Any:
        try:
            yield from function(*args)
        except ZooError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return stream if function is answers.write else run


def build() -> Any:
    """The app as a `gradio.Blocks`, which is not launched yet."""
    gr = gradio()
    with gr.Blocks(title="Lightning model zoo", analytics_enabled=False) as app:
        gr.Markdown(
            "# Lightning model zoo\nPretrained teaching models to try. Each answer is computed on the machine that runs this app."
        )
        _classify(gr)
        _draw(gr)
        _write(gr)
        _translate(gr)
        _compose(gr)
        _explain(gr)
        _play(gr)
    return app


def picture(gr: Any) -> Any:
    """A field for a picture, whose file is handed on; a file that is none is refused in a sentence."""
    field = gr.Image(type="filepath", image_mode=None, label="Picture", sources=["upload", "clipboard"])
    read = field.preprocess

    def preprocess(payload: Any) -> Any:
        try:
            return read(payload)
        except (OSError, ValueError, SyntaxError):  # what Pillow raises for files that are no pictures
            raise gr.Error(
                "this file is no picture that can be read: take a PNG or JPEG", print_exception=False
            ) from None

    field.preprocess = preprocess
    return field


def examples() -> list[list[str]]:
    """Packaged test photographs as files."""
    from PIL import Image

    from zoo.core.files import write_picture

    place = answers.Path(answers.tempfile.mkdtemp(prefix="zoo-app-"))
    images, _ = sample_split("cifar10")
    files = []
    for i in (0, 1, 2, 5):
        files.append(place / f"photo{i}.png")
        write_picture(files[-1], Image.fromarray(images[i].permute(1, 2, 0).numpy()).resize((128, 128)))
    return [[str(file)] for file in files]


def seed(gr: Any) -> Any:
    return gr.Number(0, label="Seed", precision=0, minimum=0)


def _classify(gr: Any) -> None:
    known = answers.names("predict", "image-classification")
    with gr.Tab("Classify"), gr.Row():
        with gr.Column():
            name = gr.Dropdown(known, value="speednet-cifar10", label="Model")
            field = picture(gr)
            gr.Examples(examples(), field, label="Test photographs")
            button = gr.Button("Classify", variant="primary")
            board = gr.Sketchpad(
                label="… or draw a digit: take the pencil first",
                type="numpy",
                canvas_size=(280, 280),
                brush=gr.Brush(default_size=20),
            )
            read = gr.Button("Read the digit")
        found = gr.Label(label="Answer")
        button.click(answering(answers.classify), [name, field], found, api_name="classify")
        read.click(
            answering(functools.partial(answers.read_board, "lenet5-mnist")), board, found, api_name="read_digit"
        )


def _draw(gr: Any) -> None:
    with gr.Tab("Draw"), gr.Row():
        with gr.Column():
            name = gr.Dropdown(answers.names("sample", "image-generation"), value="consistency-mnist", label="Model")
            n = gr.Slider(1, answers.MOST_IMAGES, 16, step=1, label="Images")
            label = gr.Dropdown(["any", *map(str, range(10))], value="any", label="Digit, for models that take a class")
            prompt = gr.Textbox(label="Words, for text-ldm-mnist", placeholder="a thick slanted seven")
            number = seed(gr)
            button = gr.Button("Draw", variant="primary")
        grid = gr.Image(label="Drawn", format="png")
        button.click(answering(answers.draw), [name, n, number, label, prompt], grid, api_name="draw")


def _write(gr: Any) -> None:
    with gr.Tab("Write"), gr.Row():
        with gr.Column():
            name = gr.Dropdown(answers.names("stream"), value="gpt-shakespeare", label="Model")
            prompt = gr.Textbox("ROMEO:\n", label="Beginning", lines=3)
            n = gr.Slider(1, answers.MOST_CHARACTERS, 300, step=1, label="Characters")
            temperature = gr.Slider(0, 2, 0.8, label="Temperature")
            number = seed(gr)
            button = gr.Button("Write", variant="primary")
        text = gr.Textbox(label="Written", lines=14)
        button.click(answering(answers.write), [name, prompt, n, temperature, number], text, api_name="write")


def _translate(gr: Any) -> None:
    with gr.Tab("Translate"), gr.Row():
        with gr.Column():
            name = gr.Dropdown(answers.names("translate"), value="transformer-multi30k", label="Model")
            text = gr.Textbox("Ein Hund rennt durch den Schnee.", label="Text", lines=3)
            beams = gr.Slider(1, 10, 5, step=1, label="Beams")
            button = gr.Button("Translate", variant="primary")
        found = gr.Textbox(label="Translation", lines=3)
        button.click(answering(answers.translate), [name, text, beams], found, api_name="translate")


def _compose(gr: Any) -> None:
    with gr.Tab("Compose"), gr.Row():
        with gr.Column():
            name = gr.Dropdown(answers.names("compose"), value="music-transformer-chorales", label="Model")
            n = gr.Slider(1, answers.MOST_STEPS, 32, step=1, label="Steps")
            temperature = gr.Slider(0, 2, 1, label="Temperature")
            number = seed(gr)
            button = gr.Button("Compose", variant="primary")
        with gr.Column():
            outputs = [gr.Image(label="Keys over time", format="png"), gr.Audio(label="Sound"), gr.File(label="MIDI")]
        button.click(answering(answers.compose), [name, n, temperature, number], outputs, api_name="compose")


def _explain(gr: Any) -> None:
    known = [name for name in answers.names("predict", "image-classification") if "cifar10" in name]
    with gr.Tab("Explain"), gr.Row():
        with gr.Column():
            name = gr.Dropdown(known, value="resnet20-cifar10", label="Model")
            method = gr.Dropdown(list(METHODS), value=METHODS[0], label="Method")
            field = picture(gr)
            gr.Examples(examples(), field, label="Test photographs")
            button = gr.Button("Explain", variant="primary")
        found = gr.Image(label="Red: for the answer, blue: against", format="png")
        button.click(answering(answers.explain), [name, field, method], found, api_name="explain")


def _play(gr: Any) -> None:
    with gr.Tab("Play"), gr.Row():
        with gr.Column():
            name = gr.Dropdown(answers.names("play"), value="ppo-cartpole", label="Agent")
            episodes = gr.Slider(1, 20, 1, step=1, label="Episodes")
            number = seed(gr)
            button = gr.Button("Play", variant="primary")
        with gr.Column():
            outputs = [
                gr.Image(label="The first episode", format="gif", type="filepath"),
                gr.Textbox(label="Returns", lines=2),
            ]
        button.click(answering(answers.play), [name, episodes, number], outputs, api_name="play")


def check_address(host: str, port: int) -> None:
    """Refuse what no machine can listen on.

    Raises:
        InputError: for a port outside 1 … 65535 and for a host that is neither an IP address nor localhost.
    """
    if not 0 < port < 65536:
        raise InputError(f"a port is a number from 1 to 65535, not {port}")
    try:
        ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise InputError(
            f"a host is an address of this machine (127.0.0.1, 0.0.0.0) or localhost, not {host!r}"
        ) from None


def launch(host: str = "127.0.0.1", port: int = PORT, *, block: bool = True) -> tuple[Any, str]:
    """Start the app; returns it with its address.

    Raises:
        InputError: for a host or port that isn't one, and for a port that is taken.
    """
    check_address(host, port)
    app = build()
    try:
        _, address, _ = app.queue(default_concurrency_limit=1).launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            show_error=True,
            max_file_size=LARGEST,
            prevent_thread_lock=True,
            inbrowser=False,
            allowed_paths=[str(SAMPLES)],
            theme=gradio().themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        )
    except OSError as error:
        raise InputError(f"the app can't listen on port {port} of {host}: {error}; take another --port") from None
    where = (
        "this machine alone can reach it"
        if host in ("127.0.0.1", "localhost", "::1")
        else "every machine that reaches this one can use it"
    )
    print(f"The app is at {address} ({where}). Ctrl-C ends it.", flush=True)
    if block:
        app.block_thread()
    return app, address
