"""A thousand texts in the scripts of the world, stored by one bulk send: any run of their words finds
them, in any case and form, and so do names and phones of their leads."""

import asyncio
import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from app.resources import Resources
from app.store import search
from app.store.thread_filters import ThreadFilter
from tests.makers import Tenant
from tests.world import World

TEXTS, PAGE = 250, 50
SEED = 20261129
SCRIPTS = {
    "Latin": "A-Za-zÀ-ÖØ-öø-ÿĀ-ıĴ-ňŊ-žȘ-țḀ-ẕẠ-ỹ",
    "Greek": "Α-ΡΣ-Ϋά-ώἀ-ἕἘ-Ἕἠ-ὅᾀ-ᾴᾶ-ᾼῶ-ῼ",
    "Cyrillic": "А-яЀ-ЏѐёҐ-ҟҠ-ӿ",
    "Arabic": "ء-غف-يٱ-ۓ",
    "Hebrew": "א-ת",
    "Hindi": "अ-हक़-य़",
    "Bengali": "অ-ঌক-নপ-র",
    "Tamil": "அ-ஊக-ஙஞ-டண-தந-பம-ஹ",
    "Georgian": "ა-ჰ",
    "Armenian": "Ա-Ֆա-և",
    "Thai": "ก-ะเ-ๆ",
    "Khmer": "ក-អ",
    "Chinese": "一-龥",
    "Japanese": "ぁ-ゖァ-ヺー",
    "Korean": "가-힣",
    "Full width": "０-９Ａ-Ｚａ-ｚ",
    "Digits": "0-9",
    "Other digits": "०-९٠-٩",
}
MARKS = {
    "Latin": "\u0301\u0307\u0308\u0303\u030a\u030c\u0327\u0331",
    "Arabic": "\u064e\u0651", "Hebrew": "\u05b8\u05bc", "Hindi": "ािीुेो्ंँ",
    "Bengali": "ািী্", "Tamil": "ாிீு்", "Thai": "ัิีุ่้", "Khmer": "ាិី្", "Japanese": "\u3099",
}  # fmt: skip
ALPHABETS = [script for script in SCRIPTS if "igits" not in script and script != "Full width"]
"""Without those that have digits: digits alone are looked up as a phone."""
WITHOUT_BLANKS = ("Thai", "Khmer", "Chinese", "Japanese")
SEPARATORS = (
    *([" "] * 12), "  ", ", ", ". ", "! ", "? ", "... ", "…", " – ", "—", "-", "/", ": ", "; ", "@", ".", "_", "&",
    " & ", "#", "(", ") ", "[", "] ", '"', ' "', '" ', " “", "” ", " «", "» ", "'", "’", " ‘", "´", "$", " €", "%",
    "+", "=", "*", "\\", "|", "~", "^", "<", "> ", "\n", "\t", "\u00a0", "\u3000", "\u200b", "、", "。", "！", "？",
    "・", "「", "」", "（", "）", "，", "：", "،", "؟", "۔", "।", "׳", "־", "·", "¿", "¡", "😀", " 👍🏽 ",
    "👩\u200d👩\u200d👧", "❤️", "🇺🇸", "©", "°", "→", "✓",
)  # fmt: skip
Rewrite = Callable[[str], str]
REWRITES: tuple[Rewrite, ...] = (
    str,
    str.upper,
    str.lower,
    str.swapcase,
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: unicodedata.normalize("NFC", text),
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    lambda text: f"  {text}   ",
    lambda text: re.sub(r"[.,;:!? ]+", " ", text),
)
"""Ways to write the same words."""


def letters_of(ranges: str) -> list[str]:
    bounds = ((one[0], one[-1]) for one in re.findall(r".-.|.", ranges))
    return [c for first, last in bounds for c in map(chr, range(ord(first), ord(last) + 1)) if c.isalnum()]


LETTERS = {script: letters_of(ranges) for script, ranges in SCRIPTS.items()}


def make_word(chance: random.Random, script: str) -> str:
    word = ""
    for _ in range(chance.choice((1, 2, 3, 5, 8, 13))):
        word += chance.choice(LETTERS[script])
        if script in MARKS and chance.random() < 0.3:
            word += chance.choice(MARKS[script])
    return chance.choice((word, word, word.upper(), word.title()))


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and where its words begin and end."""

    text: str
    words: list[tuple[int, int]]


def make_text(chance: random.Random) -> Text:
    """Words of one to three scripts. A word of a script without blanks is as many words as it has letters."""
    scripts = chance.sample(list(SCRIPTS), chance.choice((1, 1, 2, 3)))
    text, words = chance.choice(("", "", chance.choice(SEPARATORS).lstrip())), []
    for _ in range(chance.randint(2, 14)):
        script = chance.choice(scripts)
        word = make_word(chance, script)
        ends = [m.end() for m in re.finditer(r"\w[^\w]*" if script in WITHOUT_BLANKS else r".+", word, re.S)]
        begins = [0, *ends[:-1]]
        words += [(len(text) + begin, len(text) + end) for begin, end in zip(begins, ends, strict=True)]
        text += word + chance.choice(SEPARATORS)
    return Text(text.strip() or "x", words)


def pick_run(chance: random.Random, text: Text) -> str:
    """A run of its words: as it stands, written otherwise, or in quotation marks."""
    length = chance.choice((1, 2, chance.randint(1, len(text.words)), len(text.words)))
    first = chance.randint(0, max(len(text.words) - length, 0))
    run = text.text[text.words[first][0] : text.words[min(first + length, len(text.words)) - 1][1]]
    rewritten = chance.choice(REWRITES)(run)
    if chance.random() < 0.5 and fold(rewritten).split() == fold(run).split():
        return rewritten
    return run if chance.random() < 0.5 or re.search('["“”„«»]', run) else f'"{run}"'


def fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


async def store(tenant: Tenant, texts: list[str]) -> list[str]:
    """Sends each text to a lead of its own; the threads' ids."""
    leads = [{"leadId": f"lead-{n}", "phone": f"+1415{5550000 + n}"} for n in range(len(texts))]
    for first in range(0, len(leads), 20):
        await asyncio.gather(*(tenant.call("POST", "/leads", lead) for lead in leads[first : first + 20]))
    body = {"messages": [{"leadId": lead["leadId"], "message": text} for lead, text in zip(leads, texts, strict=True)]}
    sent = await tenant.call("POST", "/sms/send/bulk", body)
    assert sent["refused"] == 0, [result for result in sent["results"] if "error" in result][:3]
    return [result["interactionId"] for result in sent["results"]]


async def test_any_run_of_words_of_any_text_finds_it(
    idle_world: World, resources: Resources, chance: random.Random
) -> None:
    tenant = idle_world.tenant
    texts = [make_text(chance) for _ in range(TEXTS)]
    threads = await store(tenant, [text.text for text in texts])
    missed = []
    async with resources.database.read_tx(tenant.tenant_id) as read:
        for text, thread in zip(texts, threads, strict=True):
            narrowed = ThreadFilter(search=pick_run(chance, text), in_messages=True)
            found = await search.find_page(read, tenant.tenant_id, narrowed, None, PAGE)
            if len(found) == PAGE:
                found = await search.find_page(read, tenant.tenant_id, narrowed, None, TEXTS)
            if thread not in found:
                missed.append((text.text, narrowed.search))
    assert missed == []


async def test_names_are_found_in_any_order_and_phones_by_both_ends(
    idle_world: World, resources: Resources, chance: random.Random
) -> None:
    tenant = idle_world.tenant
    leads = []
    for n in range(100):
        first, last = (make_word(chance, chance.choice(ALPHABETS)) for _ in range(2))
        lead = {"firstName": first, "lastName": last, "phone": f"+1{chance.choice((212, 415, 617))}555{7000 + n:04d}"}
        leads.append(await tenant.call("POST", "/leads", lead))
    body = {"messages": [{"leadId": lead["leadId"], "message": "Hi"} for lead in leads]}
    sent = await tenant.call("POST", "/sms/send/bulk", body)
    assert sent["refused"] == 0
    missed = []
    for lead, result in zip(leads, sent["results"], strict=True):
        first, last, digits = lead["firstName"], lead["lastName"], lead["phone"][1:]
        typed = [
            f"{first} {last}", f"{last} {first}", f"{last}, {first}", f"{first} {lead['leadId']}",
            f"{last.upper()}  {first}" if fold(last.upper()) == fold(last) else last,
            unicodedata.normalize("NFD", first), lead["phone"], digits[-7:], digits[-4:], digits[:6], digits[1:6],
            f"{digits[1:4]}-{digits[4:7]}-{digits[7:]}", f"({digits[1:4]}) {digits[4:7]} {digits[7:]}",
            f"+{digits[:5]}",
        ]  # fmt: skip
        async with resources.database.read_tx(tenant.tenant_id) as read:
            for one in typed:
                found = await search.find_page(read, tenant.tenant_id, ThreadFilter(search=one), None, len(leads))
                if result["interactionId"] not in found:
                    missed.append((lead, one))
    assert missed == []
