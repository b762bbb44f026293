"""Pictures and files that a person sends with a text: uploaded, or by their address on the web."""

from dataclasses import dataclass
from typing import Annotated, NoReturn

from fastapi import Depends, File, Form, UploadFile

from app.domain import media
from app.domain.media import MediaFile
from app.domain.problems import Invalid


@dataclass(frozen=True, slots=True)
class Attachments:
    """`urls`: addresses, one a line."""

    uploads: list[UploadFile]
    urls: str

    async def read_files(self) -> list[MediaFile]:
        """Returns the uploaded files. Raises `Invalid` naming the file that cannot be sent."""
        files = [_read_file(upload.filename or "", await upload.read()) for upload in self.uploads]
        if sum(len(file.content) for file in files) > media.MAX_UPLOAD_BYTES:
            _refuse(f"together they have more than {media.format_size(media.MAX_UPLOAD_BYTES)}")
        return files

    def list_urls(self) -> tuple[str, ...]:
        """Returns the addresses. Raises `Invalid` naming the one that cannot be sent, or if there are
        too many with the files."""
        urls = tuple(line.strip() for line in self.urls.splitlines() if line.strip())
        for url in urls:
            if not media.is_media_url(url):
                _refuse(f"“{url[:60]}” is not an address that begins with https://")
        if len(urls) + len(self.uploads) > media.MAX_FILES:
            _refuse(f"a text takes up to {media.MAX_FILES}")
        return urls


def _read_file(name: str, content: bytes) -> MediaFile:
    content_type = media.detect_type(content)
    if content_type is None:
        _refuse(f"“{name[:60]}” is not a {media.TYPE_WORDS} file")
    return MediaFile(content_type, content)


def _refuse(words: str) -> NoReturn:
    raise Invalid(details=[f"mediaUrls: {words}"])


async def get_attachments(
    files: Annotated[list[UploadFile], File(max_length=100)] = [],  # noqa: B006  # FastAPI copies it
    media_urls: Annotated[str, Form(alias="mediaUrls", max_length=25_000)] = "",
) -> Attachments:
    """A browser sends an empty file where none was chosen."""
    return Attachments([file for file in files if file.filename], media_urls)


AttachmentsForm = Annotated[Attachments, Depends(get_attachments)]
