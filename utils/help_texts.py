"""The help text of a setting: the comment behind it in the source of its dataclass."""

import ast
import inspect


def comments(settings_class: type) -> dict[str, str]:
    """Returns field name -> the comment behind it in the source (the help text), of inherited fields too."""
    found: dict[str, str] = {}
    for kind in reversed(settings_class.__mro__[:-1]):
        found |= _own_comments(kind)
    return found


def _own_comments(settings_class: type) -> dict[str, str]:
    try:
        lines = inspect.getsource(settings_class).splitlines()
    except (OSError, TypeError):
        return {}
    body = ast.parse(inspect.cleandoc("\n".join(lines))).body[0]
    found = {}
    for node in getattr(body, "body", []):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            line = lines[(node.end_lineno or node.lineno) - 1]
            found[node.target.id] = line[node.end_col_offset :].partition("#")[2].strip()
    return found
