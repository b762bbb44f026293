"""Recognizes opt-outs, opt-ins and requests for help in inbound texts (docs/webhooks.md,
"Opt-outs").

Sources: CTIA Messaging Principles 5.1.3 (standard words, any case and punctuation; natural
language is encouraged); 47 CFR 64.1200(a)(10): "stop, quit, end, revoke, opt out, cancel,
unsubscribe" are definitive, and any reasonable means counts; (a)(12): one confirmation within
five minutes. The law allows ten business days; we obey within the webhook request.

A control word counts if it is the whole text, or the whole first line before a signature or a
quotation. A sentence counts if a reasonable person reads it as an opt-out. A reaction that quotes
our own text does not count. A possible opt-out is flagged, not obeyed.

Some carriers let their customers choose the words, and report what they took a text for. That
counts like a word; if it differs from the text's own word, the stricter one wins.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ControlWord = Literal["stop", "start", "help"]

STOP_WORDS = frozenset(
    {
        "stop",
        "stopall",
        "stop all",
        "unsubscribe",
        "unsub",
        "cancel",
        "end",
        "quit",
        "revoke",
        "remove",
        "optout",
        "opt out",
        "remove me",
        "stop texting",
        "stop texts",
        "stop messages",
        "alto",
        "parar",
        "pare",
        "paren",
        "baja",
        "cancelar",
        "cancele",
        "detener",
        "quitar",
        "dar de baja",
        "no mas",
        "basta",
        "cease and desist",
        "detengase",
        "detenganse",
    }
)
START_WORDS = frozenset({"start", "unstop", "iniciar", "comenzar"})
HELP_WORDS = frozenset({"help", "info", "help me", "ayuda", "informacion"})
YES_WORDS = frozenset({"yes", "si"})
VERDICTS: Mapping[str, ControlWord] = {
    "stop": "stop",
    "optout": "stop",
    "opt out": "stop",
    "start": "start",
    "optin": "start",
    "opt in": "start",
    "help": "help",
    "info": "help",
}
"""The names that carriers use for the three control words."""
STRICTEST_FIRST: tuple[ControlWord, ...] = ("stop", "start", "help")
POLITE_WORDS = frozenset(
    {
        "please",
        "pls",
        "plz",
        "pleas",
        "thanks",
        "thank",
        "thx",
        "ty",
        "you",
        "now",
        "ok",
        "okay",
        "hi",
        "hello",
        "hey",
        "sir",
        "maam",
        "por",
        "favor",
        "gracias",
        "ya",
        "hola",
        "immediately",
        "this",
        "it",
        "all",
        "omg",
        "ffs",
        "jesus",
        "man",
        "dude",
        "guys",
    }
)
"""Words that may surround a control word without changing its meaning."""
MAX_SENTENCE_LENGTH = 400
"""Only this many characters are searched for an opt-out sentence."""

REASONS_PATTERN = re.compile(
    r"\b(?:i said|(?:i am |im |were |we are )?(?:not|no longer) interested|"
    r"(?:you have |you got |youve got |its |this is )?(?:the |a )?wrong (?:number|person))\b"
)
"""Phrases that may stand beside a control word; alone they are no opt-out."""
NON_WORD_PATTERN = re.compile(r"[\W_]+")
APOSTROPHES = str.maketrans("", "", "'’‘`´ʼ＇")
REACTION_PATTERN = re.compile(
    r"""\s*(?:(?:liked|loved|emphasi[sz]ed|questioned|disliked|laughed\ at|reacted\ \S{1,12}\ to
    |removed\ an?\ \w{1,12}\ from|le\ gustó|le\ gusto|le\ encantó|le\ encanto|reaccionó\ \S{1,12}\ a
    |reacciono\ \S{1,12}\ a|me\ gusta|se\ rio\ de|se\ rió\ de|puso\ énfasis\ en)\s*["“«„]
    |\S{1,8}\s+to\s+["“])""",
    re.IGNORECASE | re.VERBOSE,
)
QUOTATION_PATTERN = re.compile(
    r"""\s*(?:>|"|“|-|–|—|~|\^|sent\ from|enviado\ desde|get\ outlook|on\ .{3,60}\ wrote|el\ .{3,60}
    \ escribió|from:|de:|re:|---)""",
    re.IGNORECASE | re.VERBOSE,
)
MAX_SIGNATURE_WORDS = 3

US_PATTERN = r"(?:me|us|my (?:phone|number|cell))"
TEXTS_PATTERN = (
    r"(?:text|texts|texting|texted|contacted|messaged|txt|txts|txting|textin|message|messages|messaging|messege|messeges|mesages|msg|msgs|"
    r"msging|messagin|sms|contact|contacting|send|sending|spam|spamming|bother|bothering|harass|"
    r"harassing|hitting|blowing|marketing|communication|communications|write|writing|bugging)"
)
OPT_OUT_PATTERN = re.compile(
    "|".join(
        (
            # English: stop doing it
            rf"\b(?:stop|quit|cease|stpo|sotp|stahp)(?: \w+){{0,2}} {TEXTS_PATTERN}\b(?! (?:back|you))",
            rf"\b(?:stop|end) (?:all |these |those |the |your |this |with the )*{TEXTS_PATTERN}\b",
            r"\bstop (?:it )?(?:now|already|asap)\b",
            # do not do it
            rf"\b(?:dont|do not|dnt|never|please no|not to|cant|can not|shouldnt)(?: \w+)? {TEXTS_PATTERN}(?: to)? "
            rf"(?:{US_PATTERN}|this (?:number|phone)|again|anymore|any more|here)\b",
            rf"\b(?:dont|do not|no longer|doesnt|never)(?: \w+)? (?:want|wish|care|like|consent|agree|need|wanna)"
            rf"(?: \w+){{0,4}} {TEXTS_PATTERN}\b",
            rf"\bno more (?:\w+ )?{TEXTS_PATTERN}\b",
            rf"\b(?:dont|do not|never) (?:ever )?{TEXTS_PATTERN}(?: \w+)? (?:again|anymore|any more)\b",
            # take me off
            r"\b(?:take|remove|delete|drop|get|scratch|pull|erase|cross|leave)(?: (?:me|us|my|this|our|the|number|phone|name|"
            r"cell|contact|info|information|please|immediately|mobile)){1,4} (?:off|from|of|out)\b(?! work)",
            r"\b(?:remove|delete|lose|loose|forget|erase|block) (?:my|this|our) (?:\w+ )?(?:number|phone|contact|info|information|cell)\b",
            r"\btake (?:me|us|my (?:name|number)) off\b",
            # the words of the trade
            r"\bunsubscri\w*(?: me| us| from| please| now| this)?\b(?! (?:my|his|her|the) (?:old|other|wife|husband))",
            r"\bopt(?:ed|ing)?(?: me| us)? out\b(?! (?:of (?:the )?(?:school|meeting|insurance|plan)))",
            r"\b(?:revoke|withdraw|withdrawing|revoking)(?: \w+){0,3} (?:consent|permission)\b",
            r"\b(?:put|add) (?:me|us|my number|this number) (?:on|to) (?:your|the|ur) (?:do not|dnc|no)\b",
            r"\b(?:i want|i would like|id like|want|wanna|need|let me|how about i) (?:to )?(?:stop|end|cancel) (?:getting|receiving|all|these|the texts?|this subscription)",
            r"\b(?:cancel|end) (?:my |this |the |all )?(?:\w+ )?(?:subscription|texts?|messages?|alerts?|sms|notifications?)\b",
            r"\bleave me alone and (?:stop|quit)\b",
            # Spanish
            r"\b(?:no|ya no|nunca|jamas)(?: me| nos| le| lo)? ?(?:vuelv\w+ a )?(?:mand|envi|escrib|contact|text|mensaje|molest|busqu|busc)"
            r"\w*(?: (?:mas|me|nunca|nada|mensajes|textos|a este numero|por favor|otra vez|de nuevo))*\b",
            r"\b(?:dej|par|ces)(?:a|e|en|ad|ar|es)? (?:ya )?de (?:mandar|enviar|escribir|textear|molestar|contactar|hostigar|mensajear)\w*\b",
            r"\b(?:quit|saqu|sac|elimin|borr|remuev|remov)\w*(?:me|nos)? (?:me )?(?:de|mi)\b(?= (?:su|la|esta|tu|lista|numero|sus|tus|telefono|base|ahi|este))",
            r"\b(?:no|ya no) (?:quiero|deseo|necesito|autorizo)(?: \w+){0,3} (?:mensaje|mensajes|texto|textos|sms|manden|escriban|contacten|envien|comunicacion|publicidad|mandando|contacto)\b",
            r"\bno mas (?:mensajes|textos|sms|msjs|publicidad)\b",
            r"\b(?:dar|darme|denme|deme|dame|quiero|solicito|me doy)(?: \w+)? (?:de )?(?:la )?baja\b",
            r"\bcancel\w* (?:mi |la |esta )?(?:suscripcion|los mensajes|mensajes)\b",
            r"\b(?:borre|borren|borra|olvide|olviden|pierda|pierdan|elimine|eliminen)(?: de)? mi (?:numero|telefono|contacto)\b",
        )
    )
)
NO_OPT_OUT_PATTERN = re.compile(
    "|".join(
        (
            r"\b(?:dont|do not|never|please dont|no) (?:you )?(?:ever )?stop\b",
            r"\b(?:cant|couldnt|can not|wont) (?:\w+ )?stop\b",
            r"\bstop (?:by|in|over|at|for|on the way|and)\b(?! (?:texting|messaging))",
            r"\b(?:bus|pit|next|first|last|one|quick|full|non|truck) stop\b",
            r"\b(?:did|does|do|when|why|how|what|if|until|till|unless|once|will it|would it)(?: \w+){0,3} (?:stop|quit|end|unsubscribe|opt out|cancel|remove)\b(?! (?:text|messag|contact|send|spam|bother))",
            r"\b(?:why|when|have|has|did|if)(?: \w+){0,2} (?:you|u|they) stop(?:ped)?\b",
            r"\b(?:dont|do not) (?:unsubscribe|remove|delete|opt|take|cancel)\b",
            r"\b(?:not|wasnt|isnt|didnt) (?:mean|asking|trying|saying|unsubscribing|opting)\b",
            r"\b(?:no pare|no paren|no dejen|no dejes|no me quiten|no me borren|no me saquen|no me elimin\w+)\b",
            r"\b(?:dont|do not) (?:text|message|contact|call|send)(?: \w+){0,3} (?:until|before|after|till|while|during|on|at|today|tonight|yet|between|when|this (?:week|morning|afternoon|evening)|him|her|them|my (?:wife|husband|old|work|ex)|while)\b",
            r"\bno (?:me )?(?:escriba|escriban|mande|manden|llame|llamen|contacte|contacten)(?: \w+){0,3} (?:hasta|antes|despues|hoy|todavia|manana por|entre|los domingos|por correo|al trabajo)\b",
            r"\bno (?:me )?(?:mandaron|mando|enviaron|envio|escribieron|escribio|contactaron|contacto|llego|llegaron|mandaste|enviaste|escribiste)\b",
            r"\b(?:stop|quit|stopped) (?:smoking|drinking|working|raining|doing|using|paying|my|the (?:car|leak|process|project|work|installation))\b",
            r"\b(?:send|text|message|contact) me\b(?=.*\b(?:instead|rather|the quote|details|info|link|price)\b)",
            r"\b(?:remove|take|get|delete|leave|pull) (?:the|my|our) (?:old|trees?|panels?|roof|couch|name from the (?:title|deed|loan)|dog|shoes|second|item|appointment|kids?|car|wife)\b",
            r"\b(?:dont|do not|never|cant) call(?: me| us)?(?: just| please| only| but)? (?:text|txt|message) (?:me|us)\b"
            r"(?! (?:again|anymore|any more|ever|either))",
            r"\b(?:no problem|no worries) (?:text|message|contact|send)\b",
            r"\bmy (?:number|phone) (?:is|changed)\b",
        )
    )
)
POSSIBLE_PATTERN = re.compile(
    r"\b(?:leave me alone|not interested|no longer interested|wrong (?:number|person)|who is this|"
    r"who are you|who dis|how did you get (?:my|this)|go away|f+u+c+k (?:off|you)|screw you|"
    r"i never signed up|didnt sign up|never asked|spam|scam|report(?:ing)? you|sue|lawyer|attorney|"
    r"harass\w*|block(?:ed|ing)? you|unwanted|enough|no thank you|no thanks|how do i stop|"
    r"how to stop|how do i unsubscribe|stop|piss off|get lost|do not call|dont call|"
    r"no me interesa|numero equivocado|quien es|quien eres|dejame en paz|dejeme en paz|"
    r"dejenme en paz|no gracias|no estoy interesad\w|estafa|acoso|largo|demanda)\b"
)


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a text was judged to be. `rule`: what decided (`word`, `first_line`, `sentence` or
    `carrier`). `is_possible`: it may be an opt-out, and a person or an agent should decide."""

    word: ControlWord | None = None
    rule: str | None = None
    is_possible: bool = False


def fold_text(text: str) -> str:
    """Removes case, width, accents, apostrophes and punctuation; one space between words."""
    bare = text.translate(APOSTROPHES)
    if bare.isascii():
        bare = bare.casefold()
    else:
        plain = unicodedata.normalize("NFKD", bare).casefold()
        bare = "".join(c for c in plain if not unicodedata.combining(c) and c not in FORMAT_CHARACTERS)
    return NON_WORD_PATTERN.sub(" ", bare).strip()


FORMAT_CHARACTERS = frozenset("\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u00ad")
"""Invisible characters that may stand inside a word."""


def verdict(raw_verdict: object) -> ControlWord | None:
    """The control word by the name that a carrier uses for it; None: no known name."""
    return VERDICTS.get(fold_text(raw_verdict)) if isinstance(raw_verdict, str) else None


def judge_text(
    text: str, *, taken_as: ControlWord | None = None, yes_restores: bool = False, is_suppressed: bool = False
) -> Judgment:
    """Judges a text by its words and by what its carrier took it for (`taken_as`). YES counts as
    START only from a suppressed phone whose carrier takes it so (`yes_restores`); from all others
    it answers a question."""
    judgment = _judge_words(text, yes_restores and is_suppressed)
    if taken_as is None or (taken_as == "start" and not is_suppressed and fold_text(text) in YES_WORDS):
        return judgment
    strictest = next(word for word in STRICTEST_FIRST if word in (judgment.word, taken_as))
    return judgment if judgment.word == strictest else Judgment(taken_as, "carrier")


def _judge_words(text: str, accepts_yes: bool) -> Judgment:
    """Judges a text by its words alone; `accepts_yes`: YES counts as START."""
    head = text[: 4 * MAX_SENTENCE_LENGTH]
    if REACTION_PATTERN.match(head):
        return Judgment()
    folded_text = fold_text(head)
    if len(text) <= MAX_SENTENCE_LENGTH and (word := _find_control_word(folded_text, accepts_yes)):
        return Judgment(word, "word")
    first_line, _, following_lines = head.strip().partition("\n")
    if (
        following_lines
        and len(first_line) <= MAX_SENTENCE_LENGTH
        and _is_quotation_or_signature(following_lines)
        and (word := _find_control_word(fold_text(first_line), False))
    ):
        return Judgment(word, "first_line")
    folded_text = folded_text[:MAX_SENTENCE_LENGTH]
    if _is_opt_out(folded_text):
        return Judgment("stop", "sentence")
    return Judgment(is_possible=bool(POSSIBLE_PATTERN.search(folded_text)))


def _find_control_word(folded_text: str, accepts_yes: bool) -> ControlWord | None:
    """The control word that the folded text consists of, apart from polite words and repeats."""
    if folded_text in START_WORDS or (accepts_yes and folded_text in YES_WORDS):
        return "start"
    if folded_text in HELP_WORDS:
        return "help"
    if folded_text in STOP_WORDS:
        return "stop"
    words = REASONS_PATTERN.sub(" ", folded_text).split()
    if len(words) > 8:
        return None
    core = [word for word in words if word not in POLITE_WORDS]
    distinct = list(dict.fromkeys(core))
    for control_words, word in ((STOP_WORDS, "stop"), (HELP_WORDS, "help")):
        if " ".join(core) in control_words or " ".join(distinct) in control_words:
            return word  # type: ignore[return-value]  # the pairs hold the two words
    spelled_word = "".join(core) if core and all(len(letter) == 1 for letter in core) else ""
    return "stop" if spelled_word in STOP_WORDS else None


def _is_opt_out(folded_text: str) -> bool:
    return bool(OPT_OUT_PATTERN.search(folded_text)) and not NO_OPT_OUT_PATTERN.search(folded_text)


def _is_quotation_or_signature(following_lines: str) -> bool:
    """Whether the lines after the first are a quotation or a signature."""
    lines = [line for line in following_lines.split("\n", 20) if line.strip()]
    if not lines:
        return True
    return bool(QUOTATION_PATTERN.match(lines[0])) or (
        len(lines) == 1 and len(lines[0].split()) <= MAX_SIGNATURE_WORDS and lines[0].strip().istitle()
    )
