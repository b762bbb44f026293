"""Files that go with a text: what they are by their first bytes, and how much a carrier takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MAX_FILES = 10
MAX_URL_LENGTH = 2048
MAX_UPLOAD_BYTES = 5_000_000
"""All files of a text together: the most that any carrier takes."""
MAX_BYTES = 1_000_000
MAX_BYTES_BY_PROVIDER: Mapping[str, int] = MappingProxyType({"twilio": MAX_UPLOAD_BYTES, "bandwidth": 3_750_000})
"""What a carrier takes for all files of a text. Telnyx documents 1 MB; the others say less clearly what
they take, and get that, too.
https://www.twilio.com/docs/messaging/guides/accepted-mime-types
https://developers.telnyx.com/docs/messaging/messages/send-receive-mms
https://dev.bandwidth.com/docs/messaging/"""
EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "image/jpeg": "jpg",
        "image/png": "png",
        "image/gif": "gif",
        "image/webp": "webp",
        "video/mp4": "mp4",
        "video/3gpp": "3gp",
        "application/pdf": "pdf",
        "text/vcard": "vcf",
    }
)
"""The types that may be uploaded, with the ending of their addresses."""
TYPES_BY_EXTENSION: Mapping[str, str] = MappingProxyType(
    {extension: content_type for content_type, extension in EXTENSIONS.items()} | {"jpeg": "image/jpeg"}
)
TYPE_WORDS = "JPEG, PNG, GIF, WebP, MP4, 3GP, PDF or vCard"


@dataclass(frozen=True, slots=True)
class MediaFile:
    """An uploaded file. `content_type` is what its bytes say, not what the browser said."""

    content_type: str
    content: bytes


def is_media_url(url: str) -> bool:
    """Whether a carrier could fetch a file from there."""
    return url.startswith(("https://", "http://")) and len(url) <= MAX_URL_LENGTH and url.isprintable()


def detect_type(content: bytes) -> str | None:
    """The type of a file by its first bytes; None: not one that may be uploaded."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:8] == b"ftyp":
        return _detect_film(content[8:12])
    if content.startswith(b"%PDF-"):
        return "application/pdf"
    if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:11].upper() == b"BEGIN:VCARD":
        return "text/vcard"
    return None


def _detect_film(brand: bytes) -> str | None:
    """The type by the major brand of an ISO base media file. Photos of Apple's phones (HEIC) are such
    files too, and no carrier shows them."""
    if brand.startswith(b"3g"):
        return "video/3gpp"
    is_film = brand.startswith((b"mp4", b"iso", b"avc", b"M4V", b"MSNV", b"dash"))
    return "video/mp4" if is_film else None


def guess_type(url: str) -> str | None:
    """The type that the ending of an address promises."""
    path = url.partition("?")[0].partition("#")[0]
    return TYPES_BY_EXTENSION.get(path.rpartition(".")[2].lower())


def get_max_bytes(provider: str | None) -> int:
    """How many bytes the files of one text may have together."""
    return MAX_BYTES_BY_PROVIDER.get(provider or "", MAX_BYTES)


def format_size(size: int) -> str:
    """A size for people: `1 MB`, `3.75 MB`, `600 KB`."""
    if size < 1_000_000:
        return f"{max(1, round(size / 1000))} KB"
    return f"{size / 1_000_000:.2f}".rstrip("0").rstrip(".") + " MB"
