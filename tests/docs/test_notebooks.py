"""Every notebook runs from its first cell to its last on packaged samples, and stays small."""

import pytest

from zoo import registry

nbformat = pytest.importorskip("nbformat")
notebooks = pytest.importorskip("scripts.pages.notebooks")


def test_every_family_has_a_notebook_and_sources_stay_small():
    families = set(map(registry.family, registry.ARCHITECTURES))
    assert set(notebooks.names()) == families | {"first"} and notebooks.names()[0] == "first"
    for name in notebooks.names():
        text = (notebooks.SOURCES / f"{name}.md").read_text(encoding="utf-8")
        cells = notebooks.parse(text).cells
        assert (
            len(text) < 8000 and cells[0].source.startswith("# ") and sum(c.cell_type == "code" for c in cells) >= 2
        ), name


@pytest.mark.slow
def test_notebooks_run_and_stay_below_a_mebibyte():
    for path in notebooks.execute():
        notebook = nbformat.read(path, as_version=4)
        outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
        drawing = [
            cell for cell in notebook.cells if any("image/png" in o.get("data", ()) for o in cell.get("outputs", ()))
        ]
        assert all(cell.metadata.get("mystnb") for cell in drawing), f"{path.name}: a picture without words"
        assert outputs and not [out for out in outputs if out.output_type == "error"], path.name
        assert path.stat().st_size < notebooks.LIMIT, f"{path.name} has {path.stat().st_size:,} bytes"
