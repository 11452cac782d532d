"""Sphinx: the guide in Markdown, the reference from the docstrings."""

import sys
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes

from skdistill import __version__

sys.path.insert(0, str(Path(__file__).parent))
import plain_pages
import reference_pages

reference_pages.write()

project = "skdistill"
copyright = "2026, the skdistill developers"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
# Each build runs the scripts that changed. `sphinx-build -D plot_gallery=0` shows them as they are,
# and so is shown what needs PyTorch where that is not installed.
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": "plot_" if find_spec("torch") else "plot_(?!transformer)",
    "within_subsection_order": "FileNameSortKey",
    # Results are printed, and drawn.
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}
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


def without_mail_links(app, doctree):
    """Keep the text alone of what reStructuredText takes for an address of mail: NDCG@10."""
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri", "").startswith("mailto:"):
            link.replace_self(nodes.Text(link.astext()))


def write_plain_pages(app, error):
    if error is None and app.builder.format == "html":
        plain_pages.write_plain_pages(Path(app.outdir))


def setup(app):
    """Connect what changes pages while they are built, and what is written after a build."""
    app.connect("doctree-read", without_mail_links)
    app.connect("build-finished", write_plain_pages)
