"""The documentation site: Sphinx with MyST, built offline by `make docs` into site/, warnings as errors."""

from zoo.version import __version__

project = "Lightning model zoo"
copyright = "the maintainers, Apache-2.0"
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"  # scripts/pages/notebooks.py has executed them
html_theme = "furo"
html_title = f"Lightning model zoo {__version__}"
html_extra_path = ["generated/extra"]
html_static_path = ["static"]
html_css_files = ["zoo.css"]
exclude_patterns = ["compare-*.md", "generated/extra", "notebooks"]
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_block"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_ivar = True


def setup(app):
    """Docstrings are plain text with the bars of mathematics, which reStructuredText would read as substitutions."""

    def plain(app, what, name, obj, options, lines):
        lines[:] = [line.replace("|", r"\|") for line in lines]

    app.connect("autodoc-process-docstring", plain, priority=900)
