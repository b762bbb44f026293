"""Answer models that show what a request model takes, so that a field is stated once."""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from app.store.core import table_of
from app.store.schema import Table
from app.web.envelope import Body, Out

S = TypeVar("S", bound=Out)


def show_fields_of(body: type[Body], kind: type[Table], after: str, **types: Any) -> Callable[[type[S]], type[S]]:
    """Adds the fields of `body` to an answer model, after its field `after`: without bounds, and
    nullable where the column is. `types` has the types that are others in the answer.

    Type checkers see only the model's own fields; code that reads a value reads it from the row."""
    columns = table_of(kind).c
    shown_fields = {
        name: (types.get(name) or _get_shown_type(field.annotation, columns[name].nullable), _keep_alias(field))
        for name, field in body.model_fields.items()
    }

    def build_shape(shape: type[S]) -> type[S]:
        own = [(name, (hint, ...)) for name, hint in shape.__annotations__.items()]
        place = list(shape.__annotations__).index(after) + 1
        fields: dict[str, Any] = dict([*own[:place], *shown_fields.items(), *own[place:]])
        new_shape = create_model(shape.__name__, __base__=Out, __module__=shape.__module__, **fields)
        new_shape.__doc__ = shape.__doc__
        return cast(type[S], new_shape)

    return build_shape


def _keep_alias(field: FieldInfo) -> Any:
    """A field without a default, with the name that the request model gives it if it gives one."""
    return Field(alias=field.alias) if field.alias_priority == 2 else Field()


def _get_shown_type(hint: Any, is_nullable: bool | None) -> Any:
    return _strip_bounds(hint) | None if is_nullable else _strip_bounds(hint)


def _strip_bounds(hint: Any) -> Any:
    """The type without `None` and without what `Annotated` adds to it and to the items of a list."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _strip_bounds(args[0])
    if origin in (Union, UnionType):
        [hint] = [part for part in args if part is not NoneType]
        return _strip_bounds(hint)
    return list[_strip_bounds(args[0])] if origin is list else hint  # type: ignore[misc]
