"""An SMS agent. Standard library only: AGENT_SECRET=whsec_… python3 agent.py"""

import base64
import hmac
import json
import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["AGENT_SECRET"].removeprefix("whsec_"))


def is_genuine(headers, body):
    """Standard Webhooks: signed with our secret, at most five minutes ago."""
    sent_at, turn_id = headers.get("webhook-timestamp", ""), headers.get("webhook-id", "")
    if not re.fullmatch("[0-9]{1,12}", sent_at) or abs(time.time() - int(sent_at)) > 300:
        return False
    digest = hmac.digest(KEY, f"{turn_id}.{sent_at}.".encode() + body, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(expected, one) for one in given)


def answer(turn):
    """Your agent goes here."""
    text, name = turn["message"]["combinedText"], turn["lead"]["firstName"] or "there"
    if "human" in text.lower():
        return {"reply": "A colleague will write to you.", "handoff": True, "reason": "asked"}
    if "not interested" in text.lower():
        return {"reply": "Thanks for telling us!", "status": "disqualified", "summary": text[:1000]}
    open_questions = turn["questionnaire"]["informationToCollect"]
    if open_questions and text.lower().startswith("my answer:"):
        answer = {"key": open_questions[0]["key"], "answer": text[10:].strip() or "none"}
        answer["messageId"] = turn["message"]["messages"][-1]["messageId"]
        return {"reply": "Noted!", "status": "qualified", "answers": [answer]}
    return {"reply": f"Hi {name}, you wrote: {text}"}


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        genuine = is_genuine(self.headers, body)
        content = json.dumps(answer(json.loads(body)) if genuine else {}).encode()
        self.send_response(200 if genuine else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Webhook).serve_forever()
