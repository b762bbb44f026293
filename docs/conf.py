"""`make docs`: Sphinx as a strict check of these files. The service itself shows them at /guide."""

import re
from posixpath import dirname, join

project, author = "LeadSail SMS", "LeadSail SMS contributors"
extensions = ["myst_parser"]
html_theme = "alabaster"
myst_heading_anchors = 4
exclude_patterns = ["examples"]
NAVIGATION = ("index", "decisions/index")
"""Pages whose lists of links are the navigation; a page that stands in none is an error."""


def add_toctree(app, name, source):
    """Sphinx wants the navigation as a directive, which other readers would show as code."""
    if name not in NAVIGATION:
        return
    listed = re.findall(r"^\* \[[^]]*\]\(([\w/.-]+)\.md\)", source[0], re.M)
    pages = "\n".join(join("/", dirname(name), page) for page in listed)
    source[0] += f"\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def setup(app):
    app.connect("source-read", add_toctree)
