"""The documentation site: Sphinx with MyST, built offline by `make docs` into site/, warnings as errors."""

import functools
import re

from docutils import nodes
from latex2mathml.converter import convert

from zoo.index import entries
from zoo.registry import family
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
html_favicon = "static/favicon.svg"
html_math_renderer = "mathml"  # browsers draw it themselves: no script from elsewhere
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

    def cards_to_pages(app, name, source):
        """A link to a card leads to the model's part of its family's page."""

        def page(match):
            home = family(entries()[match[1]].architecture)
            return f"](generated/families/{home}.md#model-{match[1].replace('.', '-')})"

        source[0] = re.sub(r"\]\(\.\./checkpoints/([^/)]+)/README\.md[^)]*\)", page, source[0])

    def breakable(app, page, template, context, doctree):
        """Long names of files and options may be broken where they are joined."""
        pre = r'<span class="pre">([^<]*)</span>'
        joints = functools.partial(
            re.sub, r"(?<=[/_,=])(?=\w)|(?<=\.)(?=\w{5})", "<wbr>"
        )  # a suffix stays with its name
        context["body"] = re.sub(pre, lambda m: f'<span class="pre">{joints(m[1])}</span>', context.get("body", ""))

    def inline(translator, node):
        translator.body.append(convert(node.astext()))
        raise nodes.SkipNode

    def block(translator, node):
        translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
        raise nodes.SkipNode

    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("autodoc-process-docstring", plain, priority=900)
    app.connect("source-read", cards_to_pages)
    app.connect("html-page-context", breakable)
