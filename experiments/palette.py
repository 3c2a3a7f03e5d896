"""One colour per policy, the same in every chart and every figure.

Okabe and Ito's hues, which colour-blind readers tell apart, as far as they show on white and on
near-black alike (contrast at least 3 : 1 on both): one colour serves light and dark pages.
Source: Okabe & Ito (2008), Color Universal Design.
"""

from collections.abc import Iterable

POLICY_COLOURS = {
    "fixed": "#7f7f7f",  # grey: what stands still
    "uniform": "#c56b9c",
    "epsilon_greedy": "#009e73",
    "linucb": "#d55e00",
    "thompson": "#0072b2",
}
OTHER_COLOURS = ("#8f6b2e", "#6f63c4", "#0e8a94", "#b8564f", "#5f8a2a")  # any other policy, by name
INK = "#7a828c"  # reference lines, estimators and whatever is no policy
INK_PAIR = ("#8b95a2", "#5f6975")  # small and large log


def policy_colours(policies: Iterable[str]) -> dict[str, str]:
    """Colours of the policies, in the order a legend shows them.

    Policies of this project have theirs for good; others share `OTHER_COLOURS`, in order of name.

    >>> policy_colours(["thompson", "mine", "fixed"])
    {'fixed': '#7f7f7f', 'thompson': '#0072b2', 'mine': '#8f6b2e'}
    """
    names = set(policies)
    own = {name: colour for name, colour in POLICY_COLOURS.items() if name in names}
    others = sorted(names - own.keys())
    return own | {name: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, name in enumerate(others)}
