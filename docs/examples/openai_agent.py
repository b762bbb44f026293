"""An SMS agent that asks a chat API which speaks as OpenAI's. Standard library only:

AGENT_SECRET=whsec_… OPENAI_API_KEY=… OPENAI_MODEL=… python3 agent.py
OPENAI_BASE_URL names another API, such as http://127.0.0.1:11434/v1
"""

import base64
import hmac
import json
import os
import re
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["AGENT_SECRET"].removeprefix("whsec_"))
CHAT_URL = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/") + "/chat/completions"
FIELDS = ("reply", "handoff", "reason", "status", "summary", "answers")
INSTRUCTIONS = """You answer text messages for {client}, about {offer}. The lead is {name}.
Write one short, friendly text, as a person would. Find out, one question at a time:
{questions}
Never make up facts. Answer with one JSON object:
"reply": your text. If the lead wants a person: "handoff": true and "reason".
"answers": [{{"key", "answer"}}] for each question the lead has just answered, if there are any.
Only when all is known, or the lead is not interested: "status", which is "qualified" or
"disqualified", and "summary", one sentence."""


def is_genuine(headers, body):
    """Standard Webhooks: signed with our secret, at most five minutes ago."""
    sent_at, turn_id = headers.get("webhook-timestamp", ""), headers.get("webhook-id", "")
    if not re.fullmatch("[0-9]{1,12}", sent_at) or abs(time.time() - int(sent_at)) > 300:
        return False
    digest = hmac.digest(KEY, f"{turn_id}.{sent_at}.".encode() + body, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(expected, one) for one in given)


def build_messages(turn):
    """The conversation as chat messages: the lead is the user."""
    questions = turn["questionnaire"]["informationToCollect"]
    instructions = INSTRUCTIONS.format(
        client=turn["campaign"]["clientName"] or "us",
        offer=turn["campaign"]["offerName"] or "what they asked for",
        name=turn["lead"]["firstName"] or "unknown",
        questions="\n".join(f"- {q['key']}: {q['question']}" for q in questions) or "- nothing more",
    )
    texts = [entry for entry in turn["interaction"]["transcript"] if entry["message"] and entry["source"] != "system"]
    roles = {"user": "user", "agent": "assistant"}
    return [
        {"role": "system", "content": instructions},
        *({"role": roles[entry["role"]], "content": entry["message"]} for entry in texts if entry["role"] in roles),
    ]


def answer(turn):
    """What the model says, as the webhook's answer. Your agent goes here."""
    question = {
        "model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        "messages": build_messages(turn),
        "response_format": {"type": "json_object"},
    }
    headers = {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}", "content-type": "application/json"}
    request = urllib.request.Request(CHAT_URL, json.dumps(question).encode(), headers)
    with urllib.request.urlopen(request, timeout=15) as response:
        content = json.load(response)["choices"][0]["message"]["content"]
    try:
        said = json.loads(content)
    except ValueError:
        return {"reply": content}  # some models do not keep to JSON
    return {name: said[name] for name in FIELDS if said.get(name)}


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not is_genuine(self.headers, body):
            return self.send_json(401, {})
        try:
            self.send_json(200, answer(json.loads(body)))
        except Exception as error:  # the service tries again
            self.send_json(503, {"error": f"the chat API: {error}"})

    def send_json(self, status, content):
        content = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Webhook).serve_forever()
