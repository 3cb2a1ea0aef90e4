"""Every Python snippet of the README runs as it stands, and every file, script and command that it names exists."""

import re
import shlex

import pytest

from tests import snippets
from tests.conftest import ROOT
from tests.snippets import SIXTEEN, quick
from zoo.cli.main import parser, verbs

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
SHELL = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, flags=re.DOTALL))


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippet_runs(code, tmp_path):
    snippets.run(quick(code), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for code in SNIPPETS if SIXTEEN in code])
def test_snippet_draws_as_many_as_it_says(code, tmp_path):
    snippets.run(code, tmp_path)


def test_links_scripts_and_commands_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target
    for script in re.findall(r"python (scripts/\S+\.py)", TEXT):
        assert (ROOT / script).exists(), script
    for target in re.findall(r"^make (\w+)", SHELL, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), target


def test_zoo_commands_parse():
    lines = [shlex.split(line) for line in re.findall(r"^zoo ([^#\n]+)", SHELL, flags=re.MULTILINE)]
    assert len(lines) > 20
    for words in lines:
        verb = verbs()[words[0]]
        if not hasattr(verb, "main"):  # one that reads its words itself, such as LightningCLI's overrides
            assert callable(parser().parse_args(words).run), words
