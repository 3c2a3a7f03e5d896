"""Who judges: the decision log, estimators, intervals, support, gates."""
