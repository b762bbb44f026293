"""What is sent to AI agents and what their answers mean: payload, signature, answer. Pure."""
