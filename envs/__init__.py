"""The world: what an LLM would have answered, and what that is worth; it knows the truth."""
