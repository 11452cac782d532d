"""Sphinx: the guide in Markdown, the reference from the docstrings."""

import sys
from pathlib import Path

from skdistill import __version__

sys.path.insert(0, str(Path(__file__).parent))
import plain_pages
import reference_pages

reference_pages.write()

project = "skdistill"
copyright = "2026, the skdistill developers"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser", "sphinx_copybutton"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
autosummary_generate = False
# The docstrings say what the types are, for readers.
autodoc_typehints = "none"
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = f"skdistill {__version__}"
html_static_path = ["_static"]
html_css_files = ["layout.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
numpydoc_show_class_members = False
# Labels and terms of docstrings inherited from scikit-learn live in its own documentation.
suppress_warnings = ["ref.ref", "ref.term"]
# Links to headings of other pages.
myst_heading_anchors = 3


def setup(app):
    """Write the plain pages after a build of HTML."""

    def finish(app, error):
        if error is None and app.builder.format == "html":
            plain_pages.write_plain_pages(Path(app.outdir))

    app.connect("build-finished", finish)
