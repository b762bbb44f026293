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
    r"(?:ai|bots?|chatbot|robot|human|human being|machine|computer|person|automated|chat ?gpt)"
)
MAQUINA = r"(?:una? )?(?:robot|bot|maquina|humano|humana|persona|ia)"
ADVERBS = r"(?:really |even |actually |just )*"
ASKING_PATTERN = re.compile(
    rf"\b(?:(?:are|r) (?:you|u|we|they) {ADVERBS}{MACHINE}"
    rf"|(?:you|u) an? (?:ai|bot|chatbot|robot|human|real person)"
    rf"|is (?:this|that|it|there) {ADVERBS}{MACHINE}"
    rf"|(?:am i|is this|are we) {ADVERBS}(?:talking|texting|chatting|speaking|writing|dealing)(?: to| with) {MACHINE}"
    rf"|(?:eres|es|sos) (?:usted |esto |realmente )*{MAQUINA}"
    rf"|(?:estoy hablando|hablo|chateo) con {MAQUINA})\b"
)
"""On folded words. A question too many does no harm: the agent only learns that it may have been asked."""


def asks_whether_human(text: str) -> bool:
    """Whether somebody seems to ask if they speak with a machine."""
    return ASKING_PATTERN.search(fold_text(text)) is not None


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
