"""Choices: Hydra groups of yaml files; a yaml holds numbers and a `_target_`, no logic."""
