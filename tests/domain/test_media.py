"""What a file is, by its first bytes."""

import pytest

from app.domain import media

FILES = {
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
    "gif": (b"GIF89a\x01\x00", "image/gif"),
    "webp": (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
    "mp4": (b"\x00\x00\x00\x18ftypmp42\x00\x00", "video/mp4"),
    "mp4 of a browser": (b"\x00\x00\x00\x20ftypisom\x00\x00", "video/mp4"),
    "3gp": (b"\x00\x00\x00\x18ftyp3gp4\x00\x00", "video/3gpp"),
    "pdf": (b"%PDF-1.7\n", "application/pdf"),
    "vcard": (b"BEGIN:VCARD\r\nVERSION:3.0", "text/vcard"),
    "vcard with a mark": (b"\xef\xbb\xbf\r\nbegin:vcard\n", "text/vcard"),
    "heic": (b"\x00\x00\x00\x18ftypheic\x00\x00", None),
    "quicktime": (b"\x00\x00\x00\x14ftypqt  \x00\x00", None),
    "html": (b"<html><script>alert(1)</script>", None),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
    "program": (b"MZ\x90\x00", None),
    "riff that is a sound": (b"RIFF\x10\x00\x00\x00WAVEfmt ", None),
    "empty": (b"", None),
    "short": (b"\x89PNG", None),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_what_its_first_bytes_say(kind: str) -> None:
    content, content_type = FILES[kind]
    assert media.detect_type(content) == content_type
    assert content_type is None or content_type in media.EXTENSIONS


@pytest.mark.parametrize(
    ("url", "content_type"),
    [
        ("https://example.com/a.JPG?x=1.png", "image/jpeg"),
        ("https://example.com/a.jpeg#top", "image/jpeg"),
        ("https://example.com/a.png/", None),
        ("https://example.com/", None),
        ("https://example.com/card.vcf", "text/vcard"),
    ],
)
def test_the_ending_of_an_address_promises_a_type(url: str, content_type: str | None) -> None:
    assert media.guess_type(url) == content_type


@pytest.mark.parametrize(
    ("size", "words"), [(1, "1 KB"), (600_000, "600 KB"), (1_000_000, "1 MB"), (3_750_000, "3.75 MB")]
)
def test_sizes_are_told_in_large_units(size: int, words: str) -> None:
    assert media.format_size(size) == words


def test_a_carrier_that_is_not_known_gets_the_careful_limit() -> None:
    assert media.get_max_bytes("twilio") == media.MAX_UPLOAD_BYTES
    assert media.get_max_bytes("telnyx") == media.get_max_bytes(None) == media.MAX_BYTES
