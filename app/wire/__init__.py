"""The one outbound HTTP client: one deadline, a byte cap, a guarded dial, no redirects.

httpx's Request and Response are the values; aiohttp carries them, since httpx's own pool
grows slower with every connection.
"""
