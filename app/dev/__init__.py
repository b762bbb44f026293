"""`dev`: a terminal in which the builder of an agent writes as the lead and sees what the agent does.

Only the assembly imports it. It uses the service through the public API and the simulated carrier.
"""
