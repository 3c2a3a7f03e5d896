"""What several house tests read."""

from pathlib import Path

import pytest

PATTERNS = (
    "*.py",
    "*.md",
    "*.toml",
    "Makefile",
    ".ci/*",
    "docs/*.md",
    "notebooks/*",
    "requirements/*",
    "configs/**/*.py",
    "configs/**/*.yaml",
    "{package}/**/*.py",
    "{package}/**/*.md",
    "tests/**/*.py",
)


@pytest.fixture(scope="session")
def root() -> Path:
    """Where the repository stands."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def sources(root: Path) -> dict[str, str]:
    """Every text of the repository that a house rule speaks about, by its path."""
    packages = ("envs", "policies", "evaluators", "experiments")
    globs = {pattern.format(package=package) for pattern in PATTERNS for package in packages}
    paths = {path for glob in globs for path in root.glob(glob) if path.is_file()}
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(paths)}
