"""Variables of canned replies: `{{firstName}}` and its like stand for what is known of a lead."""

import re
from collections.abc import Mapping

from app.domain.lead_fields import CUSTOM_KEY, CustomValue
from app.domain.orders import require_sendable
from app.domain.problems import Invalid

VARIABLE_PATTERN = re.compile(r"\{\{\s*([A-Za-z][A-Za-z0-9_.]{0,60})\s*\}\}")
EMPTY_WORDS = {
    "firstName": "the lead has no first name",
    "lastName": "the lead has no last name",
    "email": "the lead has no e-mail address",
    "phone": "the lead has no phone",
    "campaign": "the lead has no campaign",
    "client": "the campaign has no client",
    "offer": "the campaign has no offer",
    "agentName": "no agent serves the lead",
    "ourNumber": "there is no conversation yet",
}
"""The variables, and what is said of one that nothing fills."""
CUSTOM_PREFIX = "customFields."
Values = Mapping[str, str | None]
"""What fills each variable; None or blank: nothing."""


def show_custom_fields(custom_fields: Mapping[str, CustomValue]) -> dict[str, str]:
    """The values of the variables for custom fields."""
    words = {True: "yes", False: "no"}
    return {
        f"{CUSTOM_PREFIX}{key}": words[value] if isinstance(value, bool) else str(value)
        for key, value in custom_fields.items()
    }


def require_known_variables(text: str) -> str:
    """Returns `text`; raises `Invalid` naming each variable that there is not."""
    unknown_names = [name for name in find_variables(text) if not _is_known(name)]
    if unknown_names:
        raise Invalid(details=[f"text: {{{{{name}}}}} is not a variable" for name in unknown_names])
    return text


def find_variables(text: str) -> list[str]:
    """The names that stand in it as variables, each once."""
    return list(dict.fromkeys(VARIABLE_PATTERN.findall(text)))


def fill_variables(text: str, values: Values) -> str:
    """The text with what is known; a variable that nothing fills stays as it stands."""
    return VARIABLE_PATTERN.sub(lambda match: _get_words(values, match[1]) or match[0], text)


def render_reply(text: str, values: Values) -> str:
    """The text as it may be sent. Raises `Invalid` naming each variable that nothing fills."""
    faults = [f"{name}: {_say_empty(name)}" for name in find_variables(text) if not _get_words(values, name)]
    if faults:
        raise Invalid(details=faults)
    return require_sendable(fill_variables(text, values), "text")


def require_filled(text: str) -> str:
    """Returns a text that is about to be sent. Raises `Invalid` if a variable is left in it."""
    names = find_variables(text)
    if names:
        gaps = ", ".join(f"{{{{{name}}}}}" for name in names)
        raise Invalid(details=[f"message: still has {gaps}, and nothing fills it: write the words yourself"])
    return text


def _is_known(name: str) -> bool:
    return name in EMPTY_WORDS or bool(CUSTOM_KEY.fullmatch(name.removeprefix(CUSTOM_PREFIX)) and "." in name)


def _get_words(values: Values, name: str) -> str:
    return " ".join((values.get(name) or "").split())


def _say_empty(name: str) -> str:
    if name in EMPTY_WORDS:
        return EMPTY_WORDS[name]
    return "the lead has no such custom field" if _is_known(name) else "is not a variable"
