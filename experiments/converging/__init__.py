"""Does a policy converge, at what cost, and does it recover? Cases, runs, scores, claims and pictures."""
