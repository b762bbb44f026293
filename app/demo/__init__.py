"""The demo: a simulated carrier and an agent, each a real HTTP server, and a tenant with data.

Only the assembly imports it. It uses the service through the public API, the webhooks and the
page, and nothing else.
"""
