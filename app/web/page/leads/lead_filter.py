"""The filter of the list of leads, as the query string of the page has it."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from app.store.lead_lists import LeadFilter
from app.web.directory.lead_fields import parse_field_filters
from app.web.page.list_filter import Chosen


class LeadListFilter(BaseModel):
    """An empty field filters nothing. Of several campaigns a lead must have one, of several tags all."""

    search: Annotated[str, Field(max_length=200)] = ""
    campaign: Chosen = []
    tag: Chosen = []
    field: Annotated[str, Field(max_length=40)] = ""
    value: Annotated[str, Field(max_length=500)] = ""
    """What the custom field `field` has."""
    contact: Literal["", "blocked", "allowed"] = ""

    def build_filter(self) -> LeadFilter:
        """Returns the filter for the store. Raises `Invalid`."""
        return LeadFilter(
            campaign_ids=self.campaign or None,
            search=self.search.strip() or None,
            tags=self.tag or None,
            custom_fields=parse_field_filters([f"{self.field.strip()}:{self.value.strip()}"] if self.field else None),
            is_dnc=self.contact == "blocked" if self.contact else None,
        )

    @property
    def place(self) -> dict[str, Any]:
        """The parameters of the list."""
        return self.model_dump()

    @property
    def is_narrowed(self) -> bool:
        return any(self.place.values())

    @property
    def has_more(self) -> bool:
        """Whether one of the filters that are folded away is set."""
        return bool(self.field or self.value or self.contact)


LeadListFilterQuery = Annotated[LeadListFilter, Query()]
