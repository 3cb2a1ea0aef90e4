"""Publish a checkpoint folder on the Hugging Face Hub: checked first, then one commit, then a tag.

Everything that changes goes into a single commit on top of the head that it was compared with, so a publisher that dies
at any moment leaves the repository as it was or as it should be; running it again finishes the job, and unchanged
content makes no commit.
"""

import hashlib
import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.files import is_plain, parse_json
from zoo.errors import PublishError, ZooError
from zoo.store.files import PUBLISHED, SENT, write_metrics
from zoo.store.front_matter import LIBRARY, front_matter
from zoo.store.hub import WAITS, explain, passing, status_of
from zoo.store.pin import Published
from zoo.version import __version__

if TYPE_CHECKING:
    import lightning as L

    from zoo.core.module import ZooModule

PICTURE = re.compile(r"!\[[^\]]*\]\(([^()/\\\s]+\.(?:png|gif|svg))\)")
# The Hub's registry of tasks (@huggingface/tasks), as far as a zoo of networks can meet it.
PLACES = {"root", "path"}  # arguments of data modules that a published config never has
PIPELINE_TAGS = {
    "audio-classification", "audio-to-audio", "automatic-speech-recognition", "depth-estimation",
    "feature-extraction", "fill-mask", "graph-ml", "image-classification", "image-feature-extraction",
    "image-segmentation", "image-to-image", "image-to-text", "keypoint-detection", "mask-generation",
    "object-detection", "other", "question-answering", "reinforcement-learning", "sentence-similarity",
    "summarization", "tabular-classification", "tabular-regression", "text-classification", "text-generation",
    "text-ranking", "text-to-audio", "text-to-image", "text-to-speech", "time-series-forecasting",
    "token-classification", "translation", "unconditional-image-generation", "video-classification",
    "zero-shot-classification", "zero-shot-image-classification",
}  # fmt: skip


def problems(folder: Path) -> list[str]:
    """What keeps a folder from being published, one phrase each; nothing if it is fit."""
    from zoo.store.folder import read_config, read_recipe, verify

    missing = [f"{what} ({file})" for file, what in PUBLISHED.items() if not (folder / file).is_file()]
    if missing:
        return [f"it has no {what}" for what in missing]
    if links := [name for name in sorted(SENT) if (folder / name).is_symlink()]:
        return [f"{name} is a link, and what it leads to may not be meant: copy the file" for name in links]
    found = _card_problems(folder)
    try:
        config = read_config(folder)
        read_recipe(folder / "recipe.yaml")
        sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        if config["weights"]["sha256"] != sha256:
            found.append("config.json names another sha256 than that of model.safetensors")
        found += _metric_problems(folder / "metrics.json", sha256)
        if places := PLACES.intersection((config["data"] or {}).get("init", {})):
            found.append(f"config.json names a place on this machine ({', '.join(sorted(places))})")
        verify(folder)
    except ZooError as error:
        found.append(str(error))
    return found


def _card_problems(folder: Path) -> list[str]:
    from huggingface_hub import ModelCard

    try:
        data = ModelCard.load(folder / "README.md").data
    except Exception as error:  # the library lets YAML errors and its own through
        return [f"README.md has no valid front matter ({type(error).__name__})"]
    found = []
    if not data.license:
        found.append("its card names no licence")
    if data.pipeline_tag not in PIPELINE_TAGS:
        found.append(f"the card's pipeline_tag {data.pipeline_tag!r} isn't in the Hub's registry")
    if data.library_name != LIBRARY:
        found.append(f"the card's library_name is {data.library_name!r}, not {LIBRARY!r}")
    if not data.eval_results:
        found.append("the card has no model-index with its metrics")
    return found


def _metric_problems(path: Path, sha256: str) -> list[str]:
    try:
        metrics = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(metrics, list) or not all(isinstance(m, dict) for m in metrics):
            raise TypeError
        claims = [f"{m['dataset']}/{m['split']}/{m['metric']}" for m in metrics]
        [float(m["value"]) for m in metrics]
    except (OSError, ValueError, KeyError, TypeError):
        return ["metrics.json isn't a list of measured metrics"]
    found = [] if claims else ["metrics.json holds no metric"]
    for claim, metric in zip(claims, metrics, strict=True):
        if metric.get("sha256") != sha256:
            found.append(
                f"{claim} wasn't measured from this model.safetensors: run scripts/evaluate.py --write on the folder"
            )
        elif not metric.get("how"):
            found.append(f"{claim} doesn't say how it was measured")
    return found


def check(folder: Path) -> None:
    """Raise PublishError in one sentence that says all that is missing or wrong."""
    if found := problems(folder):
        raise PublishError(f"{folder.name} isn't fit to be published: {'; '.join(found)}")


def publish(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    commit_message: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    tag: str | None = f"v{__version__}",
    dry_run: bool = False,
) -> Published:
    """Publish a checkpoint folder as a model repository; arguments as in huggingface_hub.

    Args:
        revision: the branch to commit to.
        create_pr: propose the commit as a pull request; nothing is tagged then.
        tag: a name for people; it moves to the new commit if it stands elsewhere. None for no tag.
        dry_run: check everything and say what would be sent, without any request.

    Raises:
        PublishError: if the folder isn't fit, or the Hub doesn't take it.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    check(folder)
    files = contents(folder, repo_id)
    sha256 = hashlib.sha256(files["model.safetensors"]).hexdigest()
    if dry_run:
        return Published(repo_id, "", sha256, tag, tuple(sorted(files)))
    api = HfApi(token=token, library_name=LIBRARY, library_version=__version__)
    branch = revision or "main"
    message = commit_message or f"Publish {folder.name} with {LIBRARY} {__version__}"
    for wait in (*WAITS, None):
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            if branch != "main":
                api.create_branch(repo_id, branch=branch, exist_ok=True)
            commit, changed = _commit(api, repo_id, files, branch, message, create_pr)
            if tag and not create_pr:
                _tag(api, repo_id, tag, commit)
            break
        except Exception as error:
            if status_of(error) == 412:
                raise PublishError(f"somebody else published to {repo_id} at the same time: run it again") from None
            if wait is None or not passing(error):
                raise PublishError(explain(error, repo_id, revision, token)) from None
        time.sleep(wait)  # the commit may have arrived although its answer didn't: the next round compares again
    return Published(repo_id, commit, sha256, None if create_pr else tag, changed)


def contents(folder: Path, repo_id: str) -> dict[str, bytes]:
    """What of a folder goes to the Hub; the card's snippet names the repository, so that it runs as it stands."""
    text = "".join(
        (folder / name).read_text(encoding="utf-8") for name in ("README.md", "extra.md") if (folder / name).is_file()
    )
    pictures = {name for name in PICTURE.findall(text) if is_plain(name)}
    files = {
        name: (folder / name).read_bytes()
        for name in sorted(SENT | pictures)
        if (folder / name).is_file() and not (folder / name).is_symlink()
    }
    bare, full = f'zoo.load("{folder.name}")', f'zoo.load("hf://{repo_id}")'
    files["README.md"] = files["README.md"].replace(bare.encode(), full.encode())
    return files


def digest(folder: Path, repo_id: str) -> str:
    """A hash of all that would be sent; empty for a folder that isn't whole."""
    if not (folder / "README.md").is_file():
        return ""
    found = hashlib.sha256()
    for name, raw in sorted(contents(folder, repo_id).items()):
        found.update(f"{name} {len(raw)}\n".encode() + raw)
    return found.hexdigest()


def _commit(
    api: Any, repo_id: str, files: dict[str, bytes], branch: str, message: str, create_pr: bool
) -> tuple[str, tuple[str, ...]]:
    """The commit that holds exactly these files, made if need be, and the paths that it touched."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    head = api.model_info(repo_id, revision=branch).sha
    remote = {item.path: item for item in api.list_repo_tree(repo_id, revision=head) if hasattr(item, "blob_id")}
    changed = [path for path, raw in files.items() if path not in remote or not _same(remote[path], raw)]
    gone = [path for path in remote if path not in files and path in SENT]
    if not changed and not gone:
        return head, ()
    operations = [CommitOperationAdd(path, files[path]) for path in changed] + [CommitOperationDelete(p) for p in gone]
    made = api.create_commit(
        repo_id, operations, commit_message=message, revision=branch, create_pr=create_pr, parent_commit=head
    )
    return made.oid, (*changed, *gone)


def _same(item: Any, raw: bytes) -> bool:
    if item.lfs is not None:
        return item.lfs.sha256 == hashlib.sha256(raw).hexdigest()
    return item.blob_id == hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()


def _tag(api: Any, repo_id: str, tag: str, commit: str) -> None:
    standing = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id).tags}
    if standing.get(tag) == commit:
        return
    if tag in standing:
        api.delete_tag(repo_id, tag=tag)
    api.create_tag(repo_id, tag=tag, revision=commit, exist_ok=True)


# A model in memory ------------------------------------------------------------------------------------------------------


def push(
    model: "ZooModule",
    repo_id: str,
    *,
    data: "L.LightningDataModule | None" = None,
    recipe: str | Path | None = None,
    licence: str | None = None,
    summary: str = "",
    base_model: str | None = None,
    **hub: Any,
) -> Published:
    """What `ZooModule.push_to_hub` does: write the model to a folder, measure that folder, publish it."""
    from zoo.store.folder import read, write

    with tempfile.TemporaryDirectory() as parent:
        folder = write(
            model, Path(parent) / repo_id.rpartition("/")[2], name=repo_id.rpartition("/")[2], base_model=base_model
        )
        metrics: list[dict[str, Any]] = []
        if data is not None:
            metrics = read(folder).evaluate(data)
            write_metrics(folder, metrics)
        if recipe is not None:
            shutil.copyfile(recipe, folder / "recipe.yaml")
        (folder / "README.md").write_text(_card(folder, repo_id, metrics, licence, summary), encoding="utf-8")
        return publish(folder, repo_id, tag=None, **hub)


def _card(folder: Path, repo_id: str, metrics: list[dict[str, Any]], licence: str | None, summary: str) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    lines = [f"| {m['metric']} | {m['dataset']}, {m['split']} | {m['value']:.5g} | {m['how']} |" for m in metrics]
    parts = [
        f"---\n{front_matter(config, metrics, licence)}\n---\n",
        f"# {config['name']}\n",
        "![preview](preview.png)\n" if (folder / "preview.png").exists() else "",
        f"{summary}\n" if summary else "",
        f"Fine-tuned from `{config['base_model']}`.\n" if config.get("base_model") else "",
        f'```python\nimport zoo\n\nmodel = zoo.load("hf://{repo_id}")\n```\n',
        "\n".join(["| metric | data, split | this file | how |", "|---|---|---|---|", *lines]) + "\n",
        f"Architecture `{config['architecture']}`, {config['weights']['parameters']:,} parameters, "
        "trained as `recipe.yaml` says.\n",
    ]
    return "\n".join(part for part in parts if part)
