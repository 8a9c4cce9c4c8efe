"""Text that came from files, such as names of images, for formats that would obey it. HTML is escaped by its template.

LaTeX cells are escaped in :mod:`asid.ablation.report.latex`.
"""

import re

import pandas as pd


def markdown(text: str) -> str:
    """Without tags, which Markdown passes on to HTML, images from elsewhere, and ends of a table's cell."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", text).replace("![", r"!\[").replace("|", r"\|")


def tex_comment(text: str) -> str:
    """On one line, which the comment ends with."""
    return " ".join(text.split())


def to_csv(table: pd.DataFrame) -> str:
    """Write a table; text that a spreadsheet would take for a formula begins with an apostrophe."""
    return table.map(
        lambda cell: f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell
    ).to_csv(index=False)
