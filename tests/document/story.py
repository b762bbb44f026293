"""The client that openapi-python-client makes of the document, at work: a lead, a text, its thread, an
error. Run as a process of its own, with the generated package `leadsail_api` on its path."""

import os

from leadsail_api import AuthenticatedClient
from leadsail_api.api.interactions import get_interaction
from leadsail_api.api.leads import add_lead
from leadsail_api.api.texts import send_text
from leadsail_api.models import DryRunAnswer, NewLead, QueuedOrCaughtAnswer, Refusal, SendBody


def main() -> None:
    client = AuthenticatedClient(os.environ["API_URL"], os.environ["API_KEY"], prefix="", auth_header_name="X-API-Key")
    added = add_lead.sync(client=client, body=NewLead(first_name="Tess", phone=os.environ["PHONE"]))
    lead_id = added.data.lead_id

    forecast = send_text.sync(client=client, body=SendBody(lead_id=lead_id, message="Hi Tess", dry_run=True))
    assert isinstance(forecast, DryRunAnswer), forecast
    assert forecast.data.segments == 1

    sent = send_text.sync(client=client, body=SendBody(lead_id=lead_id, message="Hi Tess"))
    assert isinstance(sent, QueuedOrCaughtAnswer), sent

    thread = get_interaction.sync(sent.data.interaction_id, client=client)
    assert "Hi Tess" in [entry.message for entry in thread.data.transcript]
    assert thread.data.lead_id == lead_id

    refusal = get_interaction.sync_detailed("int_nobody", client=client)
    assert refusal.status_code == 404
    assert isinstance(refusal.parsed, Refusal)
    assert refusal.parsed.error.code == "NOT_FOUND"
    print(sent.data.message_id)


if __name__ == "__main__":
    main()
