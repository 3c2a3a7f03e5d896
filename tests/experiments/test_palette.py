"""Colours: seen on light and dark pages, and the same for a policy in any company."""

import pytest

from experiments.palette import INK, INK_PAIR, OTHER_COLOURS, POLICY_COLOURS, policy_colours

PAGES = {"light": "#ffffff", "dark": "#16191d"}  # as in templates/report.html.j2


def luminance(colour):
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*POLICY_COLOURS.values(), *OTHER_COLOURS, INK, *INK_PAIR])
@pytest.mark.parametrize("page", PAGES)
def test_every_colour_stands_out_from_both_pages(colour, page):
    light, dark = sorted((luminance(colour), luminance(PAGES[page])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3  # WCAG 2.2, 1.4.11: graphical objects


def test_a_policy_keeps_its_colour_in_any_company():
    alone = policy_colours(["thompson"])["thompson"]
    assert policy_colours(["mine", "thompson", "fixed"])["thompson"] == alone


def test_no_two_policies_share_a_colour():
    names = [*POLICY_COLOURS, *(f"other_{i}" for i in range(len(OTHER_COLOURS)))]
    assert len(set(policy_colours(names).values())) == len(names)
