"""The pages' templates, filled with whatever comes from outside escaped."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=PackageLoader("seamline.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """The page that a template of this folder makes of the values."""
    return _TEMPLATES.get_template(template).render(**values)
