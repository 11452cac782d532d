"""Sphinx: the guide in Markdown, the reference from the docstrings."""

project = "skdistill"
copyright = "2026, the skdistill developers"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "alabaster"
numpydoc_show_class_members = False
autosummary_generate = False
# Labels and terms of docstrings inherited from scikit-learn live in its own documentation.
suppress_warnings = ["ref.ref", "ref.term"]
# Links to headings of other pages.
myst_heading_anchors = 3
