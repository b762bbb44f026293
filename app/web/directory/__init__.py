"""The directory: what conversations are made of (contract 8). One file a resource."""

from app.web.envelope import Out


class Deleted(Out):
    """What DELETE answers."""

    deleted: bool = True
