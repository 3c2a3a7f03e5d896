"""What the text of a request tells about its task, before any model has read it.

Plain counts of characters and lines: no tokenizer, no language. The number of tokens is an
estimate of four characters each, off by half for code and by more for scripts other than
Latin; a caller who knows the real number should say so.
"""

import re
from dataclasses import replace

from envs.tasks import TaskFeatures

__all__ = ["CHARACTERS_PER_TOKEN", "features_of_prompt"]

CHARACTERS_PER_TOKEN = 4  # a rule of thumb for English prose; assumed
_CRITERION = re.compile(r"^[ \t]*(?:[-*+\u2022]|\d{1,9}[.)])[ \t]+\S", re.MULTILINE)  # a bullet or a number, then words


def features_of_prompt(text: str, known: TaskFeatures | None = None) -> TaskFeatures:
    r"""The features of a task, measured from its text where text can tell.

    The first line that is not blank is the title (marks of a heading left out), all after it the
    description; lines that begin with a bullet or a number count as acceptance criteria. Any text is
    measured, be it empty or ten megabytes: lengths are characters, control characters and lone
    surrogates included.

    Args:
        text: the prompt.
        known: what is known besides (risk tier, files, failures, ...); a number of tokens there stays.

    Raises:
        TypeError: no text, such as bytes.

    >>> made = features_of_prompt("# Sort a list\n\nStable.\n- handles []\n- keeps ties")
    >>> made.title_length, made.description_length, made.acceptance_criteria_count, made.prompt_tokens
    (11, 33, 2, 12)
    """
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}, need a string; decode bytes first")
    body = text.strip()
    title, _, rest = body.partition("\n")
    base = known if known is not None else TaskFeatures()
    estimate = -(-len(text) // CHARACTERS_PER_TOKEN)
    return replace(
        base,
        title_length=len(title.lstrip("# \t").rstrip()),
        description_length=len(rest.strip()),
        acceptance_criteria_count=len(_CRITERION.findall(text)),
        prompt_tokens=estimate if base.prompt_tokens is None else base.prompt_tokens,
    )
