"""Findings for people (aligned lines) and for programs (JSON)."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO

from fcrn_ros.doctor.finding import OK, PROBLEM, WARNING, Finding

COLOURS = {OK: 'green', WARNING: 'yellow', PROBLEM: 'bold red'}
LEVEL_WIDTH, LEAST_TEXT = 9, 40


def to_json(findings: list[Finding]) -> str:
    """Return the findings as a JSON list."""
    return json.dumps([asdict(f) for f in findings], indent=2)


def show(findings: list[Finding], stream: IO[str]) -> None:
    """Print one aligned line per finding, its advice below it, and a summary."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    subject_width = max((len(f.subject) for f in findings), default=0) + 2
    width = console.width if console.is_terminal else None
    for finding in findings:
        first, *rest = _lines(finding, subject_width, width)
        level = finding.level.ljust(LEVEL_WIDTH)
        console.print(Text.assemble((level, COLOURS[finding.level]), first), soft_wrap=True)
        for line in rest:
            console.print(Text(' ' * (LEVEL_WIDTH + subject_width) + line), soft_wrap=True)
    console.print(Text(f'\n{summary(findings)}'), soft_wrap=True)


def summary(findings: list[Finding]) -> str:
    """Return the counts in one line."""
    counts = Counter(f.level for f in findings)
    if not counts[PROBLEM] and not counts[WARNING]:
        return f'all {counts[OK]} checks are ok'
    return (
        f'{_count(counts[PROBLEM], PROBLEM)}, {_count(counts[WARNING], WARNING)}, {counts[OK]} ok'
    )


def _count(number: int, what: str) -> str:
    return f'{number} {what}' if number == 1 else f'{number} {what}s'


def _lines(finding: Finding, subject_width: int, width: int | None) -> list[str]:
    """Return the text without its level: the first line with the subject, the others bare."""
    room = max(LEAST_TEXT, width - LEVEL_WIDTH - subject_width) if width else None
    found, *more = _wrapped(finding.found, '', room) or ['']
    advice = _wrapped(finding.advice, '-> ', room) if finding.advice else []
    return [finding.subject.ljust(subject_width) + found, *more, *advice]


def _wrapped(text: str, mark: str, room: int | None) -> list[str]:
    text = ' '.join(text.split())
    if room is None:
        return [mark + text]
    return textwrap.wrap(
        text,
        room,
        initial_indent=mark,
        subsequent_indent=' ' * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on stderr what is being waited for, where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield
