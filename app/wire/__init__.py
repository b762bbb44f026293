"""The one outbound HTTP client: one deadline, a size limit, only permitted addresses, no redirects.

Requests and answers are httpx's values; aiohttp sends them, because httpx's connection pool gets
slower with each connection (docs/decisions/0011-aiohttp-carries-httpx-values.md).
"""
