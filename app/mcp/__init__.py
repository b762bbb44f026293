"""MCP (https://modelcontextprotocol.io): the API as tools for assistants.

A tool is a request to the service's own API, made inside this process with the caller's key: scopes,
tenants, limits and refusals are those of the API. Nothing here knows the database.
"""
