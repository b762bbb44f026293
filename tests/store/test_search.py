"""Searches pass by row-level security for their ids, and no further."""

import os
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.searches import parse_search
from app.resources import Resources
from app.store import search
from app.store.thread_filters import FOLDED_TO_ASCII, Params, ThreadFilter
from tests.makers import Tenant
from tests.service import database_named


@pytest.mark.parametrize(("asked", "in_messages"), [("jane", False), ("555", False), ("hello", True)])
async def test_a_search_finds_its_own_tenants_threads_only_and_leaves_the_guard_as_it_was(
    tenant: Tenant, other_tenant: Tenant, resources: Resources, asked: str, in_messages: bool
) -> None:
    sent = []
    for one in (tenant, other_tenant):
        account = await one.account("simulator")
        await one.number(providerAccountId=account["accountId"])
        lead = await one.lead(phone="+12125550199", leadId=f"555{one.tenant_id[-4:]}")
        sent.append(await one.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hello"}))
    narrowed = ThreadFilter(search=asked, in_messages=in_messages)
    async with resources.database.read_tx(tenant.tenant_id) as read:
        ids = await search.find_page(read, tenant.tenant_id, narrowed, None, 10)
        assert ids == [sent[0]["interactionId"]]
        assert await read.fetch_value("SELECT count(*) FROM interactions") == 1
        assert await read.fetch_value("SHOW plan_cache_mode") == "force_generic_plan"
    async with resources.database.system_tx() as tx:
        assert await search.find_page(tx, tenant.tenant_id, narrowed, None, 10) == ids
        assert await tx.fetch_value("SELECT count(*) FROM interactions") == 2


async def test_a_full_page_of_the_newest_is_in_the_lists_order(tenant: Tenant) -> None:
    account = await tenant.account("simulator")
    await tenant.number(providerAccountId=account["accountId"])
    threads = []
    for n in range(5):
        lead = await tenant.lead(firstName="Jane", lastName=f"No {n}", phone=f"+1212555010{n}")
        threads.append(
            (await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"}))
            ["interactionId"]
        )  # fmt: skip
    for query in ("search=jane", "search=hi&in=messages", "search=1212555"):
        found: list[str] = []
        cursor = ""
        while True:
            page = await tenant.call("GET", f"/interactions?limit=2&{query}{cursor}")
            found += [thread["interactionId"] for thread in page["interactions"]]
            if not page["hasMore"]:
                break
            cursor = f"&cursor={page['nextCursor']}"
        assert found == threads[::-1], query


THREADS = 12_500
"""More than are walked, and some of them with what more than a few have."""
NAME = """'Jane ' || CASE WHEN n > 10000 THEN 'Past' WHEN n % 40 = 0 THEN 'Often' ELSE 'Always' END
    || CASE WHEN n % 500 = 7 THEN ' Seldom' ELSE '' END
    || CASE WHEN n <= 500 AND n % 25 = 0 THEN ' Lately' ELSE '' END
    || CASE WHEN n > 10000 OR n <= 500 AND n % 25 = 0 THEN ' Again' ELSE '' END"""
EVERYBODY = range(1, THREADS + 1)
HAVING = {
    "jane": list(EVERYBODY),
    "always": [n for n in EVERYBODY if n <= 10_000 and n % 40],
    "often": [n for n in EVERYBODY if n <= 10_000 and n % 40 == 0],
    "seldom": [n for n in EVERYBODY if n % 500 == 7],
    "past": [n for n in EVERYBODY if n > 10_000],
    "lately": [n for n in EVERYBODY if n <= 500 and n % 25 == 0],
    "again": [n for n in EVERYBODY if n > 10_000 or (n <= 500 and n % 25 == 0)],
    "nobody": [],
}
"""Which threads have the word, newest first."""
FILL = (
    f"""INSERT INTO leads (tenant_id, lead_id, phone, first_name)
    SELECT $1, 'lead_' || n, '+1415' || lpad(n::text, 7, '0'), {NAME}
    FROM generate_series(1, $2) n""",
    """INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id,
        last_message_at)
    SELECT $1, 'int_' || n, '+12125550100', '+1415' || lpad(n::text, 7, '0'), 'lead_' || n,
           timestamptz '2026-01-01 00:00Z' - n * interval '1 second'
    FROM generate_series(1, $2) n""",
    f"""INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source,
        text, status)
    SELECT $1, 'msg_' || n, 'int_' || n, 'lead_' || n, 1, 'user', 'inbound',
           'Said by ' || {NAME}, 'received'
    FROM generate_series(1, $2) n""",
)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def talkative(resources: Resources, tenant: Tenant) -> Tenant:
    owner = await asyncpg.connect(resources.settings.database_url)
    for statement in FILL:
        await owner.execute(statement, tenant.tenant_id, THREADS)
        await owner.execute("ANALYZE leads, interactions, messages")
    await owner.close()
    return tenant


@pytest.mark.parametrize("in_messages", [False, True], ids=["names", "texts"])
async def test_what_many_have_and_what_few_have_is_shown_newest_first_and_whole(
    resources: Resources, talkative: Tenant, in_messages: bool
) -> None:
    at_once = 50
    for word, wanted in HAVING.items():
        narrowed = ThreadFilter(search=word, in_messages=in_messages)
        # From the beginning, in the midst, and where the page is the last one.
        for seen in {0, len(wanted) // 2, max(0, len(wanted) - 20)}:
            last = wanted[seen - 1] if seen else 0
            before = (BEGAN - timedelta(seconds=last), f"int_{last}")
            async with resources.database.read_tx(talkative.tenant_id) as read:
                ids = await search.find_page(read, talkative.tenant_id, narrowed, before, at_once)
            assert ids == [f"int_{n}" for n in wanted[seen : seen + at_once]], word


async def test_short_words_are_looked_for_among_the_newest_while_somebody_types(
    resources: Resources, talkative: Tenant
) -> None:
    async with resources.database.read_tx(talkative.tenant_id) as read:
        for words, typed, all_of_them in (
            ("pa", [], [n for n in EVERYBODY if n > 10_000]),
            ("al", HAVING["always"], None),
            ("again pa", HAVING["past"], None),  # the index finds "again"
            ("Past", HAVING["past"], None),
            ("a e", [n for n in EVERYBODY if n <= 10_000], EVERYBODY),
        ):
            for is_quick, wanted in ((True, typed), (False, typed if all_of_them is None else all_of_them)):
                filters = ThreadFilter(search=words, is_quick=is_quick)
                ids = await search.find_page(read, talkative.tenant_id, filters, None, THREADS)
                assert ids == [f"int_{n}" for n in wanted], (words, is_quick)
        newest = sorted((f"lead_{n}" for n in EVERYBODY), reverse=True)[:10_000]
        having = [lead for lead in newest if int(lead.removeprefix("lead_")) > 10_000]
        quick = ThreadFilter(search="pa", is_quick=True)
        assert await search.find_leads(read, talkative.tenant_id, quick, 20, without_thread=False) == having[:20]
        phone = ThreadFilter(search="1 4 1 5 0 0 1 2 5 0 0", is_quick=True)
        assert await search.find_leads(read, talkative.tenant_id, phone, 20, without_thread=False) == ["lead_12500"]


STORE_TEXTS = """
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text, status)
SELECT $1, 'msg_' || n, 'int_' || n, 'lead_' || n, 1, 'user', 'inbound', text, 'received'
FROM unnest($2::text[]) WITH ORDINALITY x (text, n)
"""


async def store_texts(resources: Resources, tenant: Tenant, texts: list[str]) -> None:
    """Each text in a thread of its own, `int_0` and so on."""
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM messages WHERE tenant_id = $1", tenant.tenant_id)
        for statement in FILL[:2]:
            await tx.execute(f"{statement} ON CONFLICT DO NOTHING", tenant.tenant_id, len(texts))
        await tx.execute(STORE_TEXTS, tenant.tenant_id, texts)


async def find_texts(resources: Resources, tenant: Tenant, typed: str, texts: list[str]) -> list[str]:
    """The texts that are found by each way of searching; they must agree."""
    narrowed = ThreadFilter(search=typed, in_messages=True)
    async with resources.database.read_tx(tenant.tenant_id) as read:
        ids = await search.find_page(read, tenant.tenant_id, narrowed, None, 100)
        params = Params(tenant.tenant_id)
        asked = parse_search(typed)
        if asked.phrases:
            sql = search._lookup_sql(params, narrowed, asked, None, 100, search.NO_LIMIT)
            [row] = await read.fetch_rows_without_rls(sql, *params.values)
            assert row["ids"] == ids, typed
    return [texts[int(found.removeprefix("int_")) - 1] for found in ids]


LETTERS = st.one_of(
    st.sampled_from("abzABZ019 éÉßẞſſıİçÇñÑøØŁł  \u0301\u0307\u0308\u200b\u200d\ufe0f.,-'\"“”«»’@#$/_&|!():*\\%"),
    st.characters(codec="utf-8", exclude_characters="\0", max_codepoint=0x6FF),
    st.characters(codec="utf-8", min_codepoint=0x900, max_codepoint=0x1100),
    st.characters(codec="utf-8", min_codepoint=0x1E00, max_codepoint=0x20CF),
    st.characters(codec="utf-8", min_codepoint=0x3000, max_codepoint=0x4F00),
    st.characters(codec="utf-8", min_codepoint=0xAC00, max_codepoint=0xAD00),
    st.characters(codec="utf-8", min_codepoint=0xFF00, max_codepoint=0xFFEF),
    st.sampled_from("😀❤️👩‍👩‍👧🇺🇸1️⃣"),
)
WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), texts=st.lists(WORDS.map(" ".join), min_size=10, max_size=10, unique=True))
async def test_any_words_of_a_text_find_it(
    resources: Resources, tenant: Tenant, data: st.DataObject, texts: list[str]
) -> None:
    await store_texts(resources, tenant, texts)
    for text in texts:
        words = text.split() or [""]
        begin = data.draw(st.integers(0, len(words) - 1))
        end = data.draw(st.integers(begin + 1, len(words)))
        typed = " ".join(words[begin:end])
        if any(c.isalnum() for c in typed):
            assert text in await find_texts(resources, tenant, typed, texts), typed


TEXTS = [
    "Write to ann@example.com, please",
    "Call 555-1234 or (212) 555.0199",
    "Due 2026-12-24: $1,299.99 for order #7321",
    "See https://example.com/offers?id=7&x=1.",
    "Thanks😀 that’s fine; I don’t mind",
    "¿Cuánto cuesta? ¡Mañana!",
    "ANDRÉ und die STRASSE; Straße",
    "Cafe\u0301 ﬁne ＦＵＬＬ",
    "ΟΔΥΣΣΕΥΣ ПРИВЕТ",
    "明天下午见面",
    "พรุ่งนี้เจอกัน",
    "हिन्दी में",
    "x" * 1500,
    "Rue de l´hôpital, chez ˜Zoë˜ ¨Müller¨",
    "İSTANBUL, Kızılay: ᾳ ǰ ẖ, ὈΨΆΡΙΟΝ ᾠδή",
]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        *[(text, text) for text in TEXTS],
        ("ann@example.com", TEXTS[0]), ("EXAMPLE.com please", TEXTS[0]),
        ("555-1234", TEXTS[1]), ("2125550199", None), ("1234", TEXTS[1]), ("212 555.0199", TEXTS[1]),
        ("2026-12-24", TEXTS[2]), ("$1,299.99", TEXTS[2]), ("#7321", TEXTS[2]), ("order #7321 due", TEXTS[2]),
        ("https://example.com/offers?id=7&x=1", TEXTS[3]), ("offers?id=7", TEXTS[3]),
        ("Thanks😀", TEXTS[4]), ("thanks", TEXTS[4]), ("don’t", TEXTS[4]), ("don't", TEXTS[4]),
        ("  mind   fine ", TEXTS[4]),
        ("¿Cuánto", TEXTS[5]), ("CUÁNTO", TEXTS[5]), ("cua\u0301nto mañana", TEXTS[5]), ("MAN\u0303ANA", TEXTS[5]),
        ("andré", TEXTS[6]), ("André STRAẞE", TEXTS[6]), ("STRASSE", TEXTS[6]), ("straße", TEXTS[6]),
        ("CAFÉ", TEXTS[7]), ("fine full", TEXTS[7]), ("Full", TEXTS[7]),
        ("οδυσσευς", TEXTS[8]), ("привет", TEXTS[8]),
        ("下午", TEXTS[9]), ("午下", None), ("见面 明天", TEXTS[9]),
        ("เจอกัน", TEXTS[10]), ("हिन्दी", TEXTS[11]),
        ('"order #7321"', TEXTS[2]), ('"#7321 order"', None), ("“for order” due", TEXTS[2]), ('"order', TEXTS[2]),
        ('"" ""', None), ("don-t mind", TEXTS[4]), ("1234-555", None), ("Call 55", None), ("😀", None),
        ("cuanto manana", TEXTS[5]), ("andre strasse", TEXTS[6]), ("ÁNDRE", TEXTS[6]), ("cafe fîne", TEXTS[7]),
        ("THÁNKS thäts", None), ('"thät’s fine"', TEXTS[4]), ("приве\u0301т", TEXTS[8]),
        ('"chez zoe muller"', TEXTS[13]), ("hopital", TEXTS[13]), ("οψαριον", TEXTS[14]),
        ("hôpital", TEXTS[13]), ("l´hôpital", TEXTS[13]), ("l'hôpital", TEXTS[13]), ("zoë müller", TEXTS[13]),
        *[(typed, TEXTS[14]) for typed in ("istanbul", "i̇stanbul", "ISTANBUL", "İstanbul", "ıstanbul", "KIZILAY",
          "kizilay", "KİZİLAY", "ΑΙ", "ᾼ", "J̌ H̱", "ὀψάριον", "ὨΙΔΉ", "ᾨΔΉ", '"kizilay αι"')],
        ("a | b & !", None), ("x" * 1500 + " ", TEXTS[12]), ("x" * 1499, None),
    ],
)  # fmt: skip
async def test_what_stands_in_a_text_is_found_however_it_is_written(
    resources: Resources, tenant: Tenant, typed: str, found: str | None
) -> None:
    await store_texts(resources, tenant, TEXTS)
    assert await find_texts(resources, tenant, typed, TEXTS) == ([found] if found else [])


LEADS = [
    {"firstName": "José", "lastName": "Núñez Łoś", "email": "jn77@example.org"},
    {"firstName": "Zoe", "lastName": "Muller", "campaignId": "c_acme"},
    {"firstName": "Ann", "lastName": "Acmeson", "campaignId": "c_roofs"},
    {"firstName": "Bea", "lastName": "Roof", "campaignId": "c_acme"},
]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("jose", ["José"]), ("JOSÉ", ["José"]), ("nunez jose", ["José"]), ("los", ["José"]), ("Łoś núñez", ["José"]),
        ("jn77", ["José"]), ("jn77@example.org", ["José"]), ("example jose", ["José"]), ("@example", ["José"]),
        ("zoë müller", ["Zoe"]), ("zoë", ["Zoe"]),
        ("acme", ["Bea", "Ann", "Zoe"]), ("acmé sólar", ["Bea", "Zoe"]), ("zoe acme", ["Zoe"]),
        ("solar muller zoe", ["Zoe"]), ("roof", ["Bea", "Ann"]), ("roof acme", ["Bea", "Ann"]), ("acme jose", []),
        ("ac", ["Ann"]),  # too short for a client
    ],
)  # fmt: skip
async def test_leads_are_found_without_accents_by_email_and_with_their_client_in_any_order(
    tenant: Tenant, typed: str, found: list[str]
) -> None:
    account = await tenant.account("simulator")
    await tenant.number(providerAccountId=account["accountId"])
    await tenant.campaign(campaignId="c_acme", clientId="acme", clientName="Acmé Solar")
    await tenant.campaign(campaignId="c_roofs", clientId="roofs", clientName="Roofs & Co")
    names = {}
    for lead in LEADS:
        made = await tenant.lead(**lead, leadId=f"id-{lead['firstName'][0]}")
        sent = await tenant.call("POST", "/sms/send", {"leadId": made["leadId"], "message": "Hi"})
        names[sent["interactionId"]] = lead["firstName"]
    page = await tenant.call("GET", "/interactions", params={"search": typed})
    assert [names[thread["interactionId"]] for thread in page["interactions"]] == found
    pages: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await tenant.call("GET", "/interactions", params={"search": typed, "limit": 1, **cursor})
        pages += [names[thread["interactionId"]] for thread in page["interactions"]]
        if not page["hasMore"]:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert pages == found


CASES: tuple[Callable[[str], str], ...] = (str, str.upper, str.lower, str.title, str.casefold, str.swapcase)
BASES = "aehijltwyzİıſßŉǰαηωΐιкії가ক"
MARKS = "\u0300\u0301\u0303\u0307\u0308\u030a\u030c\u0313\u0323\u0327\u0328\u0331\u0342"


def write_forms(text: str) -> set[str]:
    """The text in each case and each form of Unicode."""
    cased = {case(unicodedata.normalize(form, text)) for case in CASES for form in ("NFC", "NFD")}
    return cased | {unicodedata.normalize(form, one) for one in cased for form in ("NFC", "NFD", "NFKC", "NFKD")}


async def test_a_letter_is_folded_the_same_in_each_case_and_form(resources: Resources) -> None:
    characters = [chr(i) for i in range(128, 0x20000) if chr(i).isalpha()]
    marked = [base + "".join(marks) for base in BASES for n in (1, 2) for marks in product(MARKS, repeat=n)]
    pairs = [(text, form) for text in (*characters, *marked) for form in write_forms(text) - {text}]
    async with resources.database.system_tx() as tx:
        found = await tx.fetch_rows(
            """SELECT a, b FROM unnest($1::text[], $2::text[]) x (a, b)
            WHERE fold_text('x' || a || 'x') <> fold_text('x' || b || 'x')""",
            [text for text, _ in pairs], [form for _, form in pairs],
        )  # fmt: skip
    assert [tuple(row) for row in found] == []


FOLD_ALL = """
SELECT md5(string_agg(fold_text(chr(i) || 'x' || chr(i)), ',' ORDER BY i)) FROM generate_series(1, 131071) i
WHERE i NOT BETWEEN 55296 AND 57343
"""


@pytest.mark.parametrize(
    "locale",
    ["LOCALE 'C'", "LOCALE 'C.UTF-8'", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"],
    ids=["C", "Unicode", "built-in"],
)
async def test_texts_are_folded_the_same_in_every_locale(server_url: str, database_url: str, locale: str) -> None:
    name = f"leadsail_locale_{os.getpid()}"
    known = await asyncpg.connect(database_url)
    if "builtin" in locale and known.get_server_version().major < 17:
        pytest.skip("PostgreSQL 17 brought the built-in locales")
    await known.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}")
    try:
        other = await asyncpg.connect(database_named(server_url, name))
        await other.execute(await known.fetchval("SELECT pg_get_functiondef('fold_text'::regproc)"))
        assert await other.fetchval(FOLD_ALL) == await known.fetchval(FOLD_ALL)
        await other.close()
    finally:
        await known.execute(f"DROP DATABASE {name} (FORCE)")
        await known.close()


async def test_no_letter_that_is_folded_to_ascii_is_filtered_away(resources: Resources) -> None:
    """Neither alone nor within a word, where it may be left out. Higher characters are separators."""
    async with resources.database.system_tx() as tx:
        found = await tx.fetch_value(
            f"""SELECT string_agg(c, '') FROM generate_series(128, 262143) i, chr(i) c, fold_text('i' || c || 'i') word
            WHERE i NOT BETWEEN 55296 AND 57343 AND word <> 'i i' AND trim(word, 'i') ~ '[0-9a-z]|^$'
              AND c !~ '[{FOLDED_TO_ASCII}]'"""
        )
    assert found is None


@pytest.mark.parametrize(
    "typed",
    [
        "ANDRÉ", "Andre\u0301", "d'arc", "D’ARC", "  André   ", "d'Arc andré", "andré  arc", "ndré",
        "crm-7321-x", '"andré d arc"', "crm andré",
    ],
)  # fmt: skip
async def test_a_name_is_found_in_any_order_of_its_words_and_in_any_case(tenant: Tenant, typed: str) -> None:
    account = await tenant.account("simulator")
    await tenant.number(providerAccountId=account["accountId"])
    await tenant.lead(firstName="André", lastName="D’Arc", leadId="crm-7321-x", phone="+12125550101")
    await tenant.lead(firstName="Anders", lastName="Darcy", leadId="crm-1", phone="+12125557321")
    for lead_id in ("crm-7321-x", "crm-1"):
        await tenant.call("POST", "/sms/send", {"leadId": lead_id, "message": "Hi"})
    for path, kind in (("/leads", "leads"), ("/interactions", "interactions")):
        found = await tenant.call("GET", path, params={"search": typed})
        assert [row["leadId"] for row in found[kind]] == ["crm-7321-x"], path


@pytest.mark.parametrize("typed", ["order #7321 refund", "7321 Main Street", "no. 7321", '"7321"', "andrew 999"])
async def test_only_what_looks_like_a_phone_is_searched_in_phones(tenant: Tenant, typed: str) -> None:
    await tenant.lead(firstName="Andrew", lastName="Darcy", leadId="crm-1", phone="+12125557321")
    assert (await tenant.call("GET", "/leads", params={"search": typed}))["leads"] == []
    for phone in ("7321", " 555-7321 ", "+1 (212) 555.7321"):
        [found] = (await tenant.call("GET", "/leads", params={"search": phone}))["leads"]
        assert found["leadId"] == "crm-1", phone
