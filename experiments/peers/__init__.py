"""Black-box optimisers on our worlds, for comparison: outside the Policy protocol, they have no propensities."""
