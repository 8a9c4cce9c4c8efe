"""Pages whose measured parts stand between the markers ``<!-- name -->`` and ``<!-- end -->``."""


def replace_section(page: str, name: str, content: str) -> str:
    """The text of a page with ``content`` as its section ``name``."""
    before, rest = page.split(f"<!-- {name} -->\n", 1)
    return f"{before}<!-- {name} -->\n{content}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"
