"""A subject is written once, as a template.

Publishing fills it and listening turns it into a pattern.
"""

import re
from collections.abc import Mapping

_FIELD = re.compile(r"\{([a-z_]+)\}")
_TOKEN = re.compile(r"[A-Za-z0-9_$-]+")
_ROUTE = re.compile(r"[a-z]+(\.[0-9a-z]+)+")

# The one field that stands for several tokens: the prefix under which a connection is reached.
ROUTE = "route"


class SubjectError(ValueError):
    """A value that cannot stand in a subject: it holds a dot, a wildcard, a space or nothing."""


class Subject:
    """A NATS subject with named fields, such as `wk.{space_id}.{connection_id}.u.result`."""

    __slots__ = ("_parse", "fields", "pattern", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.fields = tuple(_FIELD.findall(template))
        for token in template.split("."):
            if not (_FIELD.fullmatch(token) or _TOKEN.fullmatch(token)):
                raise SubjectError(
                    f"{template!r}: {token!r} is neither a plain token nor one field"
                )
        self.pattern = _FIELD.sub("*", template)
        if template.startswith("{route}"):
            self.pattern = ""  # reached under many prefixes: a listener names its own
        expression = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
        self._parse = re.compile(_FIELD.sub(_group, expression))

    def fill(self, values: Mapping[str, object]) -> str:
        """The subject to publish on. Raises SubjectError for a value that is not one token."""
        filled = self.template
        for field in self.fields:
            filled = filled.replace("{" + field + "}", _checked(field, str(values[field])))
        return filled

    def listen(self, **known: str) -> str:
        """The pattern to subscribe to, with some fields fixed: `listen(space_id="…")`."""
        for field, value in known.items():
            _checked(field, value)
        return _FIELD.sub(lambda match: known.get(match.group(1), "*"), self.template)

    def parse(self, subject: str) -> dict[str, str]:
        """The fields of a subject that was received. Raises SubjectError when it does not fit."""
        match = self._parse.fullmatch(subject)
        if match is None:
            raise SubjectError(f"{subject!r} does not fit {self.template!r}")
        return match.groupdict()

    def __repr__(self) -> str:
        return f"Subject({self.template!r})"


def answers_under(subject: str) -> str:
    """The part of an answer's address that says what was asked: the question's first two tokens.

    So the broker can let each service answer only what it is asked itself.
    """
    return ".".join(subject.split(".", 2)[:2])


def _checked(field: str, value: str) -> str:
    if not (_ROUTE if field == ROUTE else _TOKEN).fullmatch(value):
        raise SubjectError(f"{field}={value!r} cannot stand in a subject")
    return value


def _group(field: re.Match[str]) -> str:
    name = field.group(1)
    # No quote and no backslash: what a subject says is put into JSON as it is.
    return f"(?P<{name}>[A-Za-z0-9_$.-]+)" if name == ROUTE else f"(?P<{name}>[A-Za-z0-9_$-]+)"
