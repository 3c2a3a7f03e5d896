# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How fast does a policy converge?
#
# This notebook reads a finished run and shows what learning cost and where it led. It runs nothing
# itself: make a run first with `make run` (or `python -m experiments.run`), then open this.
#
# The run shown is the newest below `outputs/vet/`. To look at another, set the environment variable
# `GUARDBAND_RUN` to its folder before starting.

# %%
# %matplotlib inline
import pandas as pd
from IPython.display import display

from experiments.figures import convergence_figure
from experiments.results import find_run, load_results, load_summary
from experiments.tables import every_rule, select

# %%
run = find_run()
summary = load_summary(run)
results = load_results(run)
print(f"{run.name}: {summary.verdict}; {len(results):,} measurements")

# %% [markdown]
# A run may hold several worlds; a picture shows one. Learning is measured in the first of them.

# %%
world = select(results, "simulation", "regret")["world"].iloc[0]
results = results[results["world"] == world]
rules = sorted(set(every_rule(select(results, "simulation", "regret"))["rule"]))
print(f"world {world}; approval rules: {', '.join(rules)}")

# %% [markdown]
# ## Regret and deployed value
#
# **Left**: mean cumulative regret, the expected reward lost so far against the best feasible action.
# A curve that bends to the horizontal stopped losing. **Right**: the exact value of the *approved*
# parameters, exploration left out, between the start and the oracle. A policy converges when its
# curve runs along the oracle. Bands are 95 % intervals of the mean over seeds.
#
# One picture per approval rule: policies are only compared under the same rule.

# %%
for rule in rules:
    display(convergence_figure(results, rule=rule))

# %% [markdown]
# ## How many seeds got there?
#
# *Converged by n*: from evaluation n to the end, the deployed value stays within
# max(5 % of the oracle-to-worst range, 2 % of the reward range) of the oracle. The bound is the
# one-sided 95 % Clopper-Pearson bound over seeds: the figure a claim may use. A mean curve near the
# oracle is not enough, a share can still hide runs that never got there.

# %%
reached = every_rule(select(results, "convergence", "reached"))
reached["share"] = [
    f"{row.value:.0%}" if row.lo != row.lo else f"{row.value:.0%} (at least {row.lo:.0%})"
    for row in reached.itertuples()
]
display(reached.pivot(index=["rule", "task", "policy"], columns="n", values="share"))

# %% [markdown]
# ## What the run claims
#
# Each threshold was fixed before the run; claims without one are reported only.

# %%
display(pd.DataFrame(summary.claims).set_index("claim"))
