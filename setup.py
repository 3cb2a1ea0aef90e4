"""Everything about the package stands in pyproject.toml, but for this: the wheel carries the small checkpoints.

So the README's first example and every model of half a megabyte or less work right after `pip install`, without a network.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ALWAYS = ("ddpm-mnist",)  # the README's first example
SMALL = 512 * 1024  # bytes of weights
LIMIT = 30 * 10**6  # bytes of all that is carried
FILES = ("config.json", "model.safetensors", "golden.safetensors", "metrics.json")


def carried(checkpoints: Path) -> list[str]:
    """Names of the checkpoints that the wheel carries: those above, then the small ones, smallest first, up to the limit."""
    sizes = {
        folder.name: sum((folder / file).stat().st_size for file in FILES)
        for folder in sorted(checkpoints.glob("[!.]*"))
        if all((folder / file).is_file() for file in FILES)
        and (folder.name in ALWAYS or (folder / "model.safetensors").stat().st_size <= SMALL)
    }
    names, total = [], 0
    for name in sorted(sizes, key=lambda name: (name not in ALWAYS, sizes[name])):
        total += sizes[name]
        if total > LIMIT:
            break
        names.append(name)
    return names


class WithCheckpoints(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout has them all
            return
        for name in carried(Path("checkpoints")):
            target = Path(self.build_lib) / "zoo" / "checkpoints" / name
            target.mkdir(parents=True, exist_ok=True)
            for file in FILES:
                self.copy_file(f"checkpoints/{name}/{file}", str(target / file))


setup(cmdclass={"build_py": WithCheckpoints})
