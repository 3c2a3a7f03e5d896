"""The words of the report: titles, how to read each chart, definitions, caveats.

Definitions are those the claims use; change them only together with the code that measures them.
"""

SECTION_TITLES = {
    "world": "The world",
    "simulation": "Learning: regret and deployed value",
    "convergence": "Convergence",
    "ope": "Off-policy evaluation",
    "gate": "The gate",
    "propensity": "Are the logged propensities the truth?",
    "speed": "Speed",
    "bundle": "Bundles",
}

# By drawing: its title, and how to read it.
READING = {
    "calibrated_quality": (
        "Quality by temperature, recorded and fitted",
        "Points are recorded means of calls that did not fail, with 95 % intervals; the line is the preset. Points "
        "share their problems, so they move up and down together. Dashed: nothing was recorded there.",
    ),
    "calibrated_failure": (
        "Failure by temperature, recorded and fitted",
        "Points are recorded shares of failed calls, with 95 % intervals; the line is the preset. Dashed: nothing was "
        "recorded there.",
    ),
    "calibrated_lengths": (
        "Lengths of answers, recorded and fitted",
        "Share of answers no longer than a length. Points are the record without runaway growth, answers cut off "
        "counted as at least that long; the largest gap to a line is its Kolmogorov distance.",
    ),
    "regret": (
        "Mean cumulative regret",
        "What was lost so far against always taking the best feasible action. A curve that "
        "bends to the horizontal belongs to a policy that stopped losing; bands are 95 % "
        "intervals of the mean over seeds. Lower is better.",
    ),
    "deployed": (
        "Deployed value per task type",
        "Expected reward of the approved parameters alone, exploration left out. A policy is "
        "done when its curve runs along the oracle; one that stays at the start was never "
        "allowed to move, or never had a reason to.",
    ),
    "convergence": (
        "Share of seeds converged",
        "Points are the share of seeds whose deployed value has reached the oracle's "
        "neighbourhood by then and stays there; the bar goes down to the one-sided 95 % bound, "
        "which is the figure a claim may use.",
    ),
    "estimates": (
        "Estimates against the exact value",
        "The dashed line is the target policy's value in the world, which the log "
        "does not know. Chance alone puts a mark off the line by more than its bar once in 20; more "
        "often is bias.",
    ),
    "errors": (
        "Bias, spread and coverage",
        "A good estimator has its bias bar across 0 and its coverage bar across the nominal "
        "line; among good ones the smallest root mean squared error is best. Bars are Monte "
        "Carlo error (1.96 standard errors): with more logs they shrink.",
    ),
    "gate": (
        "Gain of each candidate over the baseline",
        "The gate reads the lower end of the bar: right of 0 the gain is shown, across 0 it is "
        "not distinguishable from noise. On flat_null no gain exists: a lower end right of 0 is "
        "a false alarm there.",
    ),
    "z_action": (
        "By action",
        "Each cell compares how often an action was taken with the propensities written in the "
        "log. True propensities give about the dashed normal curve; many cells far out are "
        "propensities that lie.",
    ),
    "z_slot": (
        "By window slot",
        "As before, by the slot of the decision window: faults of masks and of traffic splits show here first.",
    ),
}

CELL_MEASURES = (
    *(f"{what}_{part}" for part in ("quality", "failure") for what in ("recorded", "recorded_temperature")),
    *(f"{what}_{part}" for part in ("quality", "failure") for what in ("curve", "curve_temperature")),
    *("length_recorded", "length_tokens", "length_one", "length_two"),
    "z_action",
    "z_slot",
)  # one row a cell: drawn, but left out of the report's tables

PAGE_MEASURES = tuple(
    f"matrix_{what}" for what in ("bias", "bias_now", "rmse", "coverage", "low_error", "high_error", "width")
)  # tens of thousands of rows: on heatmap.html, left out of the report

WORDS = {
    "context, action, reward": (
        "What is known before acting; the parameters chosen, as a point of the lattice; the outcome as one number."
    ),
    "propensity": "Probability of the logged action under the behavior policy as deployed.",
    "behavior and target policy": "The one that wrote the log, and the one that is judged on it.",
    "baseline and incumbent": "Fixed production parameters, and the last approved ones.",
    "evaluation": "One decision with its reward.",
    "policy value and regret": (
        "Expected reward of a policy; the best feasible expected reward minus the one "
        "obtained, summed over evaluations."
    ),
    "oracle": (
        "f*, the best expected reward under the hard limits alone, per task type, averaged "
        "over its contexts; f_min is the worst."
    ),
    "deployed value": ("D_t, the exact value of the approved parameters at evaluation t, exploration left out."),
    "converged by n": (
        "Runs last 20 evaluations past the horizon, and for every t from n to their end: f* - D_t is at most the "
        "larger of 5 % of f* - f_min and 2 % of the declared reward range. Runs that begin "
        "inside that tolerance are a share of their own (kept), never mixed with those that "
        "reached it."
    ),
    "coverage": (
        "Share of logs whose interval contains the exact value; to be compared with the "
        "interval's nominal level, within the Monte Carlo error."
    ),
    "support and ESS": (
        "What the log can speak about. The effective sample size is (sum w)^2 / sum w^2 of "
        "the importance weights w: the rows that an estimate really rests on. Mass of the "
        "target on actions the log could not take is reported, never renormalised away."
    ),
    "verdict": "The gate's answer: approved, refused (with its reasons, such as insufficient support), or no change.",
    "flat_null": ("The control world in which no parameter matters: whoever finds a gain there is wrong."),
}

CAVEATS = (
    "Simulated worlds know their own truth; production does not, and a recorded world knows "
    "averages with standard errors, whose largest is too large. The report says how far the method "
    "can be trusted, not how much a live system would gain.",
    "Intervals over seeds speak of this world and these settings. They know nothing of another world.",
    "Bounds are for one look at one number, unless a claim says that it was corrected for several.",
    "Curves are drawn at about 40 evaluations each; results.parquet has every one.",
)
