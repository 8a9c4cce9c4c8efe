"""In what two configurations differ. Free of torch."""

from typing import Any


def config_differences(first: dict[str, Any], second: dict[str, Any], path: str = "") -> list[tuple[str, Any, Any]]:
    """The fields in which two configurations (JSON values) differ, with both values."""
    differences = []
    for key in [*first, *(key for key in second if key not in first)]:
        name, mine, theirs = f"{path}{key}", first.get(key), second.get(key)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            differences += config_differences(mine, theirs, f"{name}.")
        elif mine != theirs:
            differences.append((name, mine, theirs))
    return differences
