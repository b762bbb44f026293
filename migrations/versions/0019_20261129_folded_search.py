"""Searches compare folded words, the same in every locale

The indexes are built beside all traffic; if that is interrupted, run the migration again. Ten
million texts take ten to thirty minutes. Then the former indexes go, so that no text pays for both:
code of the release before still finds the same, but slowly.

Revision ID: 0019
Revises: 0015
Created: 2026-11-29
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Case and separators by Unicode 14, as ranges of code points: `100-12E/2:1` is every second one from
# 100 to 12E, with the next one as its small letter. In PostgreSQL both depend on locale and version:
# one installation would not find what another finds, and an upgrade would spoil the index.
CASE_RUNS = """
    C0-D6:32 D8-DE:32 100-12E/2:1 130:-199 134-136/2:1 139-13D/2:1 141-147/2:1 14A-176/2:1 178:-121 179-17D/2:1
    181:210 182-184/2:1 186:206 187:1 189-18A:205 18B:1 18E:79 18F:202 190:203 191:1 193:205 194:207 196:211
    197:209 198:1 19C:211 19D:213 19F:214 1A0-1A4/2:1 1A6:218 1A7:1 1A9:218 1AC:1 1AE:218 1AF:1 1B1-1B2:217
    1B3-1B5/2:1 1B7:219 1B8:1 1BC:1 1CD-1DB/2:1 1DE-1EE/2:1 1F4:1 1F6:-97 1F7:-56 1F8-21E/2:1 220:-130
    222-232/2:1 23A:10795 23B:1 23D:-163 23E:10792 241:1 243:-195 244:69 245:71 246-24E/2:1 345:116 370-372/2:1
    376:1 37F:116 386:38 388-38A:37 38C:64 38E-38F:63 391-3A1:32 3A3-3AB:32 3C2:1 3CF:8 3D8-3EE/2:1 3F7:1 3FA:1
    3FD-3FF:-130 400-40F:80 410-42F:32 460-480/2:1 48A-4BE/2:1 4C0:15 4C1-4CD/2:1 4D0-52E/2:1 531-556:48
    10A0-10C5:7264 10C7:7264 10CD:7264 13F8-13FD:-8 1C80:-6222 1C81:-6221 1C82:-6212 1C83-1C84:-6210 1C85:-6211
    1C86:-6204 1C87:-6180 1C88:35267 1C90-1CBA:-3008 1CBD-1CBF:-3008 1E00-1E94/2:1 1E9E:-7615 1EA0-1EFE/2:1
    1F08-1F0F:-8 1F18-1F1D:-8 1F28-1F2F:-8 1F38-1F3F:-8 1F48-1F4D:-8 1F59-1F5F/2:-8 1F68-1F6F:-8 1F88-1F8F:-8
    1F98-1F9F:-8 1FA8-1FAF:-8 1FB8-1FB9:-8 1FBA:-74 1FBC:-9 1FC8-1FCA/2:-86 1FCC:-9 1FD8-1FD9:-8 1FDA:-100
    1FE8-1FE9:-8 1FEA:-112 1FEC:-7 1FF8:-128 1FFA:-126 1FFC:-9 2132:28 2183:1 2C00-2C2F:48 2C60:1 2C62:-10743
    2C63:-3814 2C64:-10727 2C67-2C6B/2:1 2C6D:-10780 2C6E:-10749 2C6F:-10783 2C70:-10782 2C72:1 2C75:1
    2C7E-2C7F:-10815 2C80-2CE2/2:1 2CEB-2CED/2:1 2CF2:1 A640-A66C/2:1 A680-A69A/2:1 A722-A72E/2:1 A732-A76E/2:1
    A779-A77B/2:1 A77D:-35332 A77E-A786/2:1 A78B:1 A78D:-42280 A790-A792/2:1 A796-A7A8/2:1 A7AA:-42308
    A7AB:-42319 A7AC:-42315 A7AD:-42305 A7AE:-42308 A7B0:-42258 A7B1:-42282 A7B2:-42261 A7B3:928 A7B4-A7C2/2:1
    A7C4:-48 A7C5:-42307 A7C6:-35384 A7C7-A7C9/2:1 A7D0:1 A7D6-A7D8/2:1 A7F5:1 AB70-ABBF:-38864 10400-10427:40
    104B0-104D3:40 10570-1057A:39 1057C-1058A:39 1058C-10592:39 10594-10595:39 10C80-10CB2:64 118A0-118BF:32
    16E40-16E5F:32 1E900-1E921:34
"""
SEPARATORS = """
    80-A9 AB-B1 B4 B6-B8 BB BF D7 F7 2C2-2C5 2D2-2DF 2E5-2EB 2ED 2EF-2FF 34F 375 37E 384-385 387 3F6 482 488-489
    55A-55F 589-58F 5BE 5C0 5C3 5C6 5F3-60F 61B-61F 66A-66D 6D4 6DD-6DE 6E9 6FD-6FE 700-70F 7F6-7F9 7FE-7FF 830-83E
    85E 888 890-891 8E2 964-965 970 9F2-9F3 9FA-9FB 9FD A76 AF0-AF1 B70 BF3-BFA C77 C7F C84 D4F D79 DF4 E3F E4F
    E5A-E5B F01-F17 F1A-F1F F34 F36 F38 F3A-F3D F85 FBE-FC5 FC7-FDA 104A-104F 109E-109F 10FB 1360-1368 1390-1399
    1400 166D-166E 1680 169B-169C 16EB-16ED 1735-1736 17D4-17D6 17D8-17DB 1800-180A 180E 1940-1945 19DE-19FF
    1A1E-1A1F 1AA0-1AA6 1AA8-1AAD 1ABE 1B5A-1B6A 1B74-1B7E 1BFC-1BFF 1C3B-1C3F 1C7E-1C7F 1CC0-1CC7 1CD3 1FBD
    1FBF-1FC1 1FCD-1FCF 1FDD-1FDF 1FED-1FEF 1FFD-206F 207A-207E 208A-208E 20A0-20C0 20DD-20E0 20E2-20E4 2100-2101
    2103-2106 2108-2109 2114 2116-2118 211E-2123 2125 2127 2129 212E 213A-213B 2140-2144 214A-214D 214F 218A-244A
    249C-24E9 2500-2775 2794-2BFF 2CE5-2CEA 2CF9-2CFC 2CFE-2CFF 2D70 2E00-2E2E 2E30-3004 3008-3020 3030 3036-3037
    303D-303F 309B-309C 30A0 30FB 3190-3191 3196-319F 31C0-31E3 3200-321E 322A-3247 3250 3260-327F 328A-32B0
    32C0-33FF 4DC0-4DFF A490-A4C6 A4FE-A4FF A60D-A60F A670-A673 A67E A6F2-A716 A720-A721 A789-A78A A828-A82B
    A836-A839 A874-A877 A8CE-A8CF A8F8-A8FA A8FC A92E-A92F A95F A9C1-A9CD A9DE-A9DF AA5C-AA5F AA77-AA79 AADE-AADF
    AAF0-AAF1 AB5B AB6A-AB6B ABEB E000-F8FF FB29 FBB2-FBC2 FD3E-FD4F FDCF FDFC-FE19 FE30-FE6B FEFF-FF0F FF1A-FF20
    FF3B-FF40 FF5B-FF65 FFE0-FFFD 10100-10102 10137-1013F 10179-10189 1018C-101FC 1039F 103D0 1056F 10857
    10877-10878 1091F 1093F 10A50-10A58 10A7F 10AC8 10AF0-10AF6 10B39-10B3F 10B99-10B9C 10EAD 10F55-10F59
    10F86-10F89 11047-1104D 110BB-110C1 110CD 11140-11143 11174-11175 111C5-111C8 111CD 111DB 111DD-111DF
    11238-1123D 112A9 1144B-1144F 1145A-1145D 114C6 115C1-115D7 11641-11643 11660-1166C 116B9 1173C-1173F 1183B
    11944-11946 119E2 11A3F-11A46 11A9A-11A9C 11A9E-11AA2 11C41-11C45 11C70-11C71 11EF7-11EF8 11FD5-11FFF
    12470-12474 12FF1-12FF2 13430-13438 16A6E-16A6F 16AF5 16B37-16B3F 16B44-16B45 16E97-16E9A 16FE2 1BC9C
    1BC9F-1BCA3 1CF50-1D164 1D16A-1D16C 1D173-1D17A 1D183-1D184 1D18C-1D1A9 1D1AE-1D241 1D245 1D300-1D356 1D6C1
    1D6DB 1D6FB 1D715 1D735 1D74F 1D76F 1D789 1D7A9 1D7C3 1D800-1D9FF 1DA37-1DA3A 1DA6D-1DA74 1DA76-1DA83
    1DA85-1DA8B 1E14F 1E2FF 1E95E-1E95F 1ECAC 1ECB0 1ED2E 1EEF0-1F0F5 1F10D-1FBCA E0001-10FFFD
"""
CASE_BLOCK_ENDS = (0xDF, 0x24F, 0x3FF, 0x45F, 0x58F, 0x10FFFF)
"""translate() goes through its whole list for each character, so it gets short lists."""
LETTERS_WITHOUT_BLANKS = (
    r"\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF"  # Thai, Lao, Burmese, Khmer
    r"\u3041-\u3096\u309D-\u309F\u30A1-\u30FA\u30FC-\u30FF"  # Japanese
    r"\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\U00020000-\U0003FFFF"  # Chinese characters
)
"""Scripts without blanks between words: each letter is a word."""
ACCENTS_ALONE = "¨¯´¸˘˙˚˛˜˝΄᾽᾿῾゛゜"
"""Written as apostrophes (l´hôpital). NFKC would make them a blank and a mark of the next word."""
ADD_FUNCTION_SQL = r"""
CREATE OR REPLACE FUNCTION fold_text(t text) RETURNS text LANGUAGE plpgsql
    IMMUTABLE STRICT PARALLEL SAFE COST 300 AS $fold$
BEGIN
    -- The words of a text, with one blank between them. Compatibility forms (NFKC) and case are
    -- folded. Letters, digits and their marks are words, everything else separates them. Most words
    -- are separated by one blank already: to leave it alone saves up to two thirds of the time.
    IF octet_length(t) = char_length(t) THEN  -- ASCII
        t := regexp_replace(lower(t COLLATE "C"), '[^0-9a-z ][^0-9a-z]*| [^0-9a-z]+', ' ', 'g');
    ELSE
        t := lower(normalize(translate(t, '@ACCENTS@', repeat(' ', @ACCENT_COUNT@)), NFKC) COLLATE "C");
        IF t ~ '[@CAPITALS@]' THEN@CASE_BLOCKS@
            t := normalize(t, NFKC);
        END IF;
        t := regexp_replace(replace(t, 'ß', 'ss'), '([@LETTERS_WITHOUT_BLANKS@])', ' \1 ', 'g');
        t := regexp_replace(t, '[\u0001-\u001F!-/@OTHERS@][\u0001-/@OTHERS@]*| [\u0001-/@OTHERS@]+', ' ', 'g');
    END IF;
    IF char_length(t) > 200 THEN  -- the words of an index have a greatest length
        t := regexp_replace(t, '([^ ]{200})(?=[^ ])', '\1 ', 'g');
    END IF;
    RETURN btrim(t);
END $fold$
"""
FOLD_BLOCK_SQL = """
            IF t ~ '[{capitals}]' THEN
                t := translate(t, '{capitals}', '{small_letters}');
            END IF;"""
NEW_INDEXES = {
    "ix_messages_folded": "messages USING gin (tenant_id, array_to_tsvector(string_to_array(fold_text(text), ' ')))",
    "ix_leads_folded": """leads USING gin (tenant_id, fold_text(
        (((coalesce(first_name, '') || ' ') || coalesce(last_name, '')) || ' ') || lead_id) gin_trgm_ops)""",
}
OLD_INDEXES = {
    "ix_messages_words": "messages USING gin (tenant_id, to_tsvector('simple'::regconfig, text))",
    "ix_leads_name": """leads USING gin (tenant_id,
        ((((coalesce(first_name, '') || ' ') || coalesce(last_name, '')) || ' ') || lead_id) gin_trgm_ops)""",
}


def upgrade() -> None:
    op.execute(build_function_sql())
    replace_indexes(OLD_INDEXES, NEW_INDEXES)


def downgrade() -> None:
    replace_indexes(NEW_INDEXES, OLD_INDEXES)
    op.execute("DROP FUNCTION fold_text")


def replace_indexes(old: dict[str, str], new: dict[str, str]) -> None:
    """Builds the new indexes while texts go on, then drops the old ones."""
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, definition in new.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # of an interrupted attempt
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
        for name in old:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute("SET statement_timeout = '10min'")


def build_function_sql() -> str:
    pairs = list(read_case_pairs())
    parts = {
        "CAPITALS": "".join(capital for capital, _ in pairs),
        "CASE_BLOCKS": "".join(build_block_sql(list(block)) for _, block in groupby(pairs, key=find_block)),
        "ACCENTS": ACCENTS_ALONE,
        "ACCENT_COUNT": str(len(ACCENTS_ALONE)),
        "LETTERS_WITHOUT_BLANKS": LETTERS_WITHOUT_BLANKS,
        "OTHERS": r":-@\[-`{-\u007F"
        + "".join(f"\\U{first:08X}-\\U{last:08X}" for first, last in map(read_range, SEPARATORS.split())),
    }
    return re.sub(r"@([A-Z_]+)@", lambda match: parts[match[1]], ADD_FUNCTION_SQL)


def read_case_pairs() -> Iterator[tuple[str, str]]:
    """Capital and small letter."""
    for run in CASE_RUNS.split():
        code_points, _, distance = run.partition(":")
        code_points, _, step = code_points.partition("/")
        first, last = read_range(code_points)
        for capital in range(first, last + 1, int(step or 1)):
            yield chr(capital), chr(capital + int(distance))


def read_range(code_points: str) -> tuple[int, int]:
    first, _, last = code_points.partition("-")
    return int(first, 16), int(last or first, 16)


def find_block(pair: tuple[str, str]) -> int:
    return next(end for end in CASE_BLOCK_ENDS if ord(pair[0]) <= end)


def build_block_sql(block: Iterable[tuple[str, str]]) -> str:
    capitals, small_letters = zip(*block, strict=True)
    return FOLD_BLOCK_SQL.format(capitals="".join(capitals), small_letters="".join(small_letters))
