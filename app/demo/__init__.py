"""The demo: a simulated carrier and an agent, each a real HTTP server, and a tenant to show.

Known only to the assembly. No other room may know it, and it knows the service by its public
doors alone.
"""
