"""Answer models that show the fields of a request model."""

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from app.store.schema import PhoneNumber
from app.web.envelope import AnyId, Body, Line, Out
from app.web.shapes import show_fields_of


class Question(Body):
    text: Line


class QuestionShape(Out):
    text: str


class Change(Body):
    account_id: Annotated[AnyId | None, Field(alias="providerAccountId")] = None
    capabilities: Annotated[list[Annotated[str, Field(max_length=5)]], Field(max_length=2)] | None = None
    active: bool | None = None
    label: list[Question] | None = None


@show_fields_of(Change, PhoneNumber, after="phone_number_id", label=list[QuestionShape])
class Shape(Out):
    """A number."""

    phone_number_id: str
    paused_at: str | None


VALUES: dict[str, Any] = {
    "phone_number_id": "num_1",
    "account_id": None,
    "capabilities": ["longer than five"] * 3,
    "active": True,
    "label": [{"text": "x" * 999}],
    "paused_at": None,
}


def test_the_fields_stand_in_their_place_without_bounds_and_all_are_required() -> None:
    schema = Shape.model_json_schema()
    names = ["phoneNumberId", "providerAccountId", "capabilities", "active", "label", "pausedAt"]
    assert list(schema["properties"]) == schema["required"] == names
    assert schema["properties"]["capabilities"] == {
        "items": {"type": "string"},
        "title": "Capabilities",
        "type": "array",
    }
    assert (schema["title"], schema["description"]) == ("Shape", "A number.")
    assert Shape(**VALUES).model_dump(by_alias=True)["providerAccountId"] is None


@pytest.mark.parametrize("name", ["capabilities", "active"])
def test_only_a_column_that_may_be_null_is_shown_as_null(name: str) -> None:
    with pytest.raises(ValidationError):
        Shape.model_validate({**VALUES, name: None})
