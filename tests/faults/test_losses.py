"""Nothing of a person's is lost: other files in a folder, links, working directories, names that are paths, runs side by side."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import zoo
from tests.conftest import ROOT
from tests.faults.test_kill import RECIPE
from tests.hub.folders import small_model
from zoo.core import files
from zoo.errors import InputError, ZooError
from zoo.store import atomic, cards
from zoo.store import folder as checkpoint
from zoo.train import callbacks, experiment, finetuning, finetuning_command, recipe


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Folders -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", ["thesis.txt", "chapters/one.txt", "config.json"])
def test_a_folder_with_other_files_is_refused_before_the_work(tmp_path, thing, capsys, monkeypatch):
    into = tmp_path / "mine"
    (into / thing).parent.mkdir(parents=True)
    (into / thing).write_text("{}")
    monkeypatch.setattr(finetuning, "load", None)  # refused before anything is loaded
    assert finetuning_command.main(["lenet5-mnist", "--into", str(into), "--data.root", str(tmp_path)]) == 2
    assert "the zoo didn't write" in capsys.readouterr().err and (into / thing).read_text() == "{}"
    monkeypatch.setattr(experiment, "call", None)
    assert experiment.main(["lenet5-mnist", "--into", str(into), "--runs", str(tmp_path / "runs")]) == 2
    assert "overwrite" in capsys.readouterr().err and (into / thing).read_text() == "{}"


def test_other_files_stay_the_very_same_when_a_model_is_saved_beside_them(tmp_path):
    folder = tmp_path / "mine"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "thesis.txt").write_text("a year of work")
    with (folder / "run.log").open("w") as log:
        log.write("before\n")
        log.flush()
        for seed in range(2):
            small_model(seed).save_pretrained(folder)
        log.write("after\n")
    assert (folder / "run.log").read_text() == "before\nafter\n"
    assert (folder / "notes" / "thesis.txt").read_text() == "a year of work"
    assert zoo.verify(folder) and not [name for name in names(folder) if name.startswith(".")]
    assert torch.equal(zoo.load(folder).state_dict()["head.weight"], small_model(1).state_dict()["head.weight"])


@pytest.mark.parametrize("config", ['{"model_type": "bert"}', "no json", "[]"])
def test_a_config_that_is_not_ours_is_kept(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(InputError, match=r"holds config\.json, which the zoo didn't write"):
        small_model().save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_text() == config and names(tmp_path) == ["config.json"]
    assert zoo.verify(small_model().save_pretrained(tmp_path, overwrite=True))


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "disk" / "real", tmp_path / "link"
    small_model(0).save_pretrained(real)
    link.symlink_to(real)
    small_model(1).save_pretrained(link)
    assert link.is_symlink() and names(tmp_path) == ["disk", "link"] and names(tmp_path / "disk") == ["real"]
    assert torch.equal(zoo.load(real).state_dict()["head.weight"], small_model(1).state_dict()["head.weight"])
    (tmp_path / "dangling").symlink_to(tmp_path / "disk" / "later")
    small_model(1).save_pretrained(tmp_path / "dangling")
    assert (tmp_path / "dangling").is_symlink() and zoo.verify(tmp_path / "disk" / "later")


def test_the_working_directory_stays(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for seed in range(2):
        small_model(seed).save_pretrained(".")
    assert Path.cwd() == folder and "config.json" in os.listdir(".") and zoo.verify(folder)
    assert zoo.load(folder).name == "here"


@pytest.mark.parametrize("folder", ["/", "/proc/self/status", "file", "file/below", ".hidden", "a" * 300])
def test_where_no_checkpoint_can_be_is_said(tmp_path, folder):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ZooError):
        small_model().save_pretrained(tmp_path / folder)
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_signs_in_a_folders_name_mean_themselves(tmp_path):
    for name in ("a**b", "[x]", "näh ☕", "a b", "$5_$10"):
        for seed in range(2):
            small_model(seed).save_pretrained(tmp_path / name)
        assert zoo.verify(tmp_path / name)


@pytest.mark.parametrize("cut", range(4))
def test_a_death_while_files_move_is_finished_by_the_next_reader(tmp_path, monkeypatch, cut):
    folder = tmp_path / "mine"
    small_model(0).save_pretrained(folder)
    (folder / "notes.txt").write_text("mine")
    replace, done = os.replace, []

    def die(source, target):
        if Path(source).parent.name == atomic.COMMIT:  # not a single file, such as the preview
            if len(done) == cut:
                raise KeyboardInterrupt
            done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        small_model(1).save_pretrained(folder)
    monkeypatch.setattr(os, "replace", replace)
    model = zoo.load(folder)
    assert torch.equal(model.state_dict()["head.weight"], small_model(1).state_dict()["head.weight"])
    assert zoo.verify(folder) and not [name for name in names(folder) if name.startswith(".")]
    assert (folder / "notes.txt").read_text() == "mine"


# Names -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["{}", "../x", "a/b", "..", ".", "", "a\0b", "a\nb", "a\x1b[31m", "a\\b", "C:x", "x" * 300]
)
def test_a_name_with_a_path_in_it_reaches_nothing(tmp_path, name, capsys):
    victim = tmp_path / "victim"
    (victim / "seed0").mkdir(parents=True)
    name = name.format(victim)
    assert experiment.main([name, "--fresh", "--runs", str(tmp_path)]) == 2
    assert "plain name" in capsys.readouterr().err and (victim / "seed0").is_dir()
    with pytest.raises(InputError, match="plain name"):
        files.plain_name(name)


def test_a_config_can_not_name_a_path(tmp_path):
    folder = small_model().save_pretrained(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"name": "../../x"}))
    with pytest.raises(ZooError, match="name can't be"):
        zoo.load(folder)


# Files -------------------------------------------------------------------------------------------------------------------


def writers(folder: Path):
    """Every function that writes a file a person may have, with the file."""
    from datamodules.formats.midi import write_midi

    images = torch.rand(2, 1, 8, 8)
    yield folder / "grid.png", lambda: zoo.save_grid(images, folder / "grid.png")
    yield folder / "piece.mid", lambda: write_midi(torch.ones(4, 88), folder / "piece.mid")
    yield folder / "extra.md", lambda: cards.write_section(folder, "## Title\n\nText.\n")
    yield folder / "a.txt", lambda: files.write_text(folder / "a.txt", "new")
    yield folder / "a.json", lambda: files.write_json(folder / "a.json", {"new": 1})
    yield folder / "h.csv", lambda: history(folder / "h.csv")


def history(path: Path) -> None:
    from types import SimpleNamespace

    kept = callbacks.History(path)
    trainer = SimpleNamespace(callback_metrics={}, current_epoch=0, global_step=1, is_global_zero=True)
    kept.parts = [{"epochs": 0, "seconds": 0.0}]
    kept.on_train_epoch_end(trainer, None)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for path, write in writers(tmp_path):
        path.write_text("## Old\n\nold\n")
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(InputError, match="No space left on device; what was there before is untouched"):
                write()
        assert path.read_bytes() == before, path
        write()
        assert path.read_bytes() != before, path
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_links_and_permissions_of_a_file_stay(tmp_path):
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    real.write_bytes(b"old")
    real.chmod(0o600)
    link.symlink_to(real)
    zoo.save_grid(torch.rand(1, 1, 4, 4), link)
    assert link.is_symlink() and real.read_bytes().startswith(b"\x89PNG") and real.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", [".", "a.qqq", "file/a.png", "folder.png"])
def test_where_no_picture_can_be_is_said(tmp_path, path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError):
        zoo.save_grid(torch.rand(1, 1, 4, 4), tmp_path / path)
    assert names(tmp_path) == ["file", "folder.png"]


# Runs --------------------------------------------------------------------------------------------------------------------


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        atomic.owned(tmp_path / "seed0"),
        pytest.raises(InputError, match=f"is in use by process {os.getpid()} on"),
        atomic.owned(tmp_path / "seed0"),
    ):
        raise AssertionError
    with atomic.owned(tmp_path / "seed0"), pytest.raises(InputError, match="is in use"):
        experiment.forget(tmp_path)
    assert (tmp_path / "seed0").is_dir()
    experiment.forget(tmp_path)
    assert not tmp_path.exists()


@pytest.mark.parametrize("junk", [b"", b"junk", b"PK\x03\x04" + bytes(100), None])
def test_a_junk_state_is_a_named_error_and_stays(tmp_path, junk):
    plan, state = tmp_path / "recipe.yaml", tmp_path / "run" / "last.ckpt"
    plan.write_text(RECIPE)
    state.parent.mkdir()
    torch.save({"weights": torch.ones(1)}, state) if junk is None else state.write_bytes(junk)
    before = state.read_bytes()
    with pytest.raises(InputError, match=r"last\.ckpt is"):
        recipe.fit(plan, state.parent, ["--trainer.enable_progress_bar=false"])
    assert state.read_bytes() == before


def test_a_full_disk_while_a_state_is_saved_keeps_the_state_before(tmp_path):
    from types import SimpleNamespace

    class Full:
        strategy = SimpleNamespace(broadcast=lambda due: True)
        should_stop, is_global_zero = True, True

        def save_checkpoint(self, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "last.ckpt").write_bytes(b"old")
    with pytest.raises(InputError, match="it goes on from the state before"):
        callbacks.Resume(tmp_path / "last.ckpt").on_train_epoch_end(Full(), None)
    assert (tmp_path / "last.ckpt").read_bytes() == b"old" and names(tmp_path) == ["last.ckpt"]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_who_waits_for_a_process_takes_it_along(tmp_path, sign):
    """`experiment.call` in a process that is told to end: its child ends with it."""
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's & ignores it
    code += "from zoo.train import experiment; experiment.end_on_sigterm(); "
    code += f"experiment.call([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    parent.send_signal(sign)
    parent.wait(30)
    for _ in range(100):
        if not alive(pid):
            break
        time.sleep(0.05)
    assert not alive(pid)


def test_no_child_looks_into_the_working_directory_for_modules(tmp_path, monkeypatch):
    """An empty entry of PYTHONPATH would put it before the standard library."""
    (tmp_path / "colorsys.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text("import colorsys\n")
    experiment.call([sys.executable, str(script)])


def test_a_first_export_shows_the_whole_folder_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "run_golden", lambda *_: (_ for _ in ()).throw(RuntimeError("died")))
    with pytest.raises(RuntimeError, match="died"):
        small_model().save_pretrained(tmp_path / "m")
    assert names(tmp_path) == []
