"""Who acts: learners, the bounds they act within, and the bundle that production loads."""
