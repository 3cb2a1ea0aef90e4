"""The documentation site: Sphinx with MyST, built offline by `make docs` into site/, warnings as errors."""

from zoo.version import __version__

project = "Lightning model zoo"
copyright = "the maintainers, Apache-2.0"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"Lightning model zoo {__version__}"
html_extra_path = ["generated/extra"]
exclude_patterns = ["compare-*.md", "generated/extra"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
