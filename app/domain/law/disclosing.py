"""An agent says that it is one: where the law wants it, or always. And a lead may ask."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from app.domain.law.places import find_place
from app.domain.law.rules import RULES
from app.domain.optout.folding import fold_text

SENTENCE = "{name}: You are texting with an automated assistant."
MACHINE = (
    r"(?:an? )?(?:real |actual |live |just )*"
    r"(?:ai|bots?|chat ?bots?|robots?|humans?|human being|machine|computer|person|real|automated|chat ?gpt|gpt"
    r"|artificial intelligence|virtual (?:assistant|agent)|auto(?:matic)? (?:reply|response|message|text|system))"
)
WRITER = r"(?:real |actual |live )*(?:ai|bot|chat ?bot|robot|human(?: being)?|machine|person)"
MAQUINA = (
    r"(?:una? )?(?:ai|bot|chat ?bot|robot|maquina|humano|humana|ser humano|persona|ia|real|inteligencia artificial"
    r"|asistente virtual)"
)
UNO = r"(?:bot|robot|maquina|humano|persona)(?: real)?"
ADVERBS = r"(?:really |even |actually |just |all |guys )*"
ASKING_PATTERN = re.compile(
    rf"\b(?:(?:are|r) (?:you|u|ya|yall|we|they) {ADVERBS}{MACHINE}"
    rf"|(?:you|u|youre|ur|you are|u r|this is|its|it is) {ADVERBS}an? (?:ai|bot|chat ?bot|robot)"
    rf"|(?:you|u) (?:an? )?(?:ai|bot|robot|human|real person)"
    rf"|is (?:this|that|it|there) {ADVERBS}{MACHINE}"
    rf"|(?:am i|is this|are we) {ADVERBS}(?:talking|texting|chatting|speaking|writing|dealing)(?: to| with) {MACHINE}"
    rf"|(?:did|does|is) an? {WRITER} (?:(?:writ|typ)(?:e|ing)|(?:send|text|answer)(?:ing)?|run(?:ning)?)"
    rf"|{WRITER} or (?:an? )?{WRITER}|real (?:person|human)"
    rf"|(?:eres|es|sos|son) (?:tu |usted |ustedes |esto |realmente |acaso )*{MAQUINA}"
    rf"|(?:estoy (?:hablando|chateando|escribiendo)|hablo|chateo|escribo) con {MAQUINA}"
    rf"|{UNO} o (?:una? )?{UNO}|(?:persona|humano) real)\b"
    rf"|^(?:an? |una? )?(?:{WRITER}|{UNO})$"
)
"""On folded words. A question too many does no harm: the agent only learns that it may have been asked."""
MAX_END_LENGTH = 320
"""Of a longer text its first and its last so many characters are read: on words that are repeated the pattern takes
the square of their number."""


def asks_whether_human(text: str) -> bool:
    """Whether somebody seems to ask if they speak with a machine."""
    ends = (text,) if len(text) <= 2 * MAX_END_LENGTH else (text[:MAX_END_LENGTH], text[-MAX_END_LENGTH:])
    return any(ASKING_PATTERN.search(fold_text(end)) for end in ends)


def find_disclosure(facts: Mapping[str, Any], phone: str, timezone: str | None, day: date) -> str | None:
    """The sentence that must stand before an agent's first text; None: none. `facts`: what the store knows of it."""
    if facts["when"] == "where_required":
        jurisdictions = find_place(phone, facts["state"], facts["postal_code"], timezone).jurisdictions
        excepted_rules = {exception["rule"] for exception in facts["exceptions"]}
        if not any(
            rule.kind == "disclosure"
            and rule.jurisdiction in jurisdictions
            and rule.id not in excepted_rules
            and rule.is_in_force(day)
            for rule in RULES
        ):
            return None
    return facts["sentence"] or SENTENCE.format(name=facts["name"])
