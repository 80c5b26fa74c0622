"""Templates of pages and of texts, by Jinja."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined, Template


def page_template(text: str, filters: Mapping[str, Callable[..., Any]] | None = None) -> Template:
    """A template of an HTML page: what is put in is escaped, and a name that is not given is an error.

    Args:
        text: of the template.
        filters: functions by the names that the template uses.
    """
    return _template(text, filters or {}, autoescape=True)


def text_template(text: str) -> Template:
    """A template of a plain text that ends in a line break; a name that is not given is an error."""
    return _template(text, {}, keep_trailing_newline=True)


def _template(text: str, filters: Mapping[str, Callable[..., Any]], **options: Any) -> Template:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options)
    environment.filters.update(filters)
    return environment.from_string(text)
