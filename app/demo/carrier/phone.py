"""The lead's phone: its texts, and texts that a person writes as the lead."""

import html
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.demo.carrier.state import Carrier, PhoneText, format_now, get_carrier

PAGE_HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The lead's phone</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root{{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}}
body{{max-width:34rem;margin:2rem auto;padding:0 1rem}}
ol{{list-style:none;padding:0;display:flex;flex-direction:column;gap:.5rem}}
li{{max-width:80%;padding:.5rem .8rem;border-radius:1rem;background:#8883;white-space:pre-wrap;
overflow-wrap:anywhere}}
li.mine{{align-self:end;background:#1769d2;color:#fff}} small{{opacity:.75}}
form{{display:grid;gap:.6rem;margin-top:1rem}}
textarea,input,select,button{{font:inherit;padding:.5rem}}
</style></head><body><h1>The lead’s phone</h1>
<form method="get"><label>Phone <input name="phone" value="{phone}" list="known"></label>
<datalist id="known">{known}</datalist><button>Show</button></form>
<ol role="log" aria-label="Texts">{texts}</ol>
<form method="post"><input type="hidden" name="phone" value="{phone}">
<label>To <select name="to">{numbers}</select></label>
<label>Text <textarea name="text" rows="3" required></textarea></label>
<button>Text as the lead</button></form></body></html>"""


async def text_as_lead(request: Request) -> Response:
    """POST /phone/{phone}/texts {"to", "text", "media"?}: writes a text as the lead."""
    carrier = get_carrier(request)
    body = await request.json()
    status = await _write_text(
        carrier, request.path_params["phone"], body["to"], body.get("text", ""), body.get("media") or []
    )
    is_passed_on = 200 <= status < 300
    return JSONResponse({"status": status}, 200 if is_passed_on else 502)


async def _write_text(carrier: Carrier, phone: str, to: str, text: str, media: list[Any]) -> int:
    """Posts a lead's text to the number's webhook. Returns the webhook's status; 404 without one."""
    body: dict[str, Any] = {
        "type": "inbound",
        "id": carrier.new_id(),
        "from": phone,
        "to": to,
        "text": text,
        "media": media,
        "sentAt": format_now(),
    }
    carrier.lead_texts.append(body)
    phone_text = PhoneText(body["id"], True, to, text, format_now(), "sending", media)
    carrier.phones.setdefault(phone, []).append(phone_text)
    url = carrier.inbound_urls.get(to)
    status = await carrier.post_webhook(url, body) if url else 404
    phone_text.status = "delivered" if 200 <= status < 300 else "not delivered"
    return status


async def list_phone_texts(request: Request) -> Response:
    """GET /phone/{phone}/texts: the texts on the phone, in order."""
    carrier = get_carrier(request)
    texts = carrier.phones.get(request.path_params["phone"], [])
    return JSONResponse({"texts": [{name: getattr(text, name) for name in PhoneText.__slots__} for text in texts]})


async def show_phone(request: Request) -> Response:
    """The page of a lead's phone."""
    carrier = get_carrier(request)
    if request.method == "POST":
        form = await request.form()
        phone = str(form["phone"])
        await _write_text(carrier, phone, str(form["to"]), str(form["text"]), [])
        return RedirectResponse(f"/?phone={phone.replace('+', '%2B')}", 303)
    phone = request.query_params.get("phone") or next(iter(carrier.phones), request.app.state.lead)
    texts = "".join(
        f'<li class="{"mine" if text.mine else "theirs"}">{html.escape(text.text)}<br>'
        f"<small>{text.at[11:19]} · {html.escape(text.other)} · {text.status}</small></li>"
        for text in carrier.phones.get(phone, [])
    )
    phone_options = "".join(f'<option value="{html.escape(name)}">' for name in carrier.phones)
    number_options = "".join(f"<option>{html.escape(to)}</option>" for to in carrier.inbound_urls)
    return HTMLResponse(
        PAGE_HTML.format(phone=html.escape(phone), texts=texts, known=phone_options, numbers=number_options)
    )
