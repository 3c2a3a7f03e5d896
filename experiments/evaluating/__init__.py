"""Parts of `experiment=evaluate_log`: who is judged on somebody's log, how, and what is said of it."""
