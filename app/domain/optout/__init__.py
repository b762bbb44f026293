"""Recognizes opt-outs, opt-ins and requests for help in inbound texts (docs/webhooks.md, "Opt-outs")."""

from app.domain.optout.definitive import ControlWord, may_address_us
from app.domain.optout.folding import fold_text
from app.domain.optout.judge import Judgment, judge_text, verdict
from app.domain.optout.model import load_model

__all__ = ["ControlWord", "Judgment", "fold_text", "judge_text", "load_model", "may_address_us", "verdict"]
