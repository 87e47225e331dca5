"""What a check found, and how a check that fails becomes a finding itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

OK, WARNING, PROBLEM = 'ok', 'warning', 'problem'


@dataclass(frozen=True)
class Finding:
    """
    One line of the doctor's report.

    :param level: ``ok``, ``warning`` or ``problem``.
    :param subject: what was looked at, in a few words.
    :param found: what was found, in one line.
    :param advice: what to do; '' where all is well.
    """

    level: str
    subject: str
    found: str
    advice: str = ''


Check = Callable[[], 'Finding | Iterable[Finding]']


def ok(subject: str, found: str) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(OK, subject, found)


def warning(subject: str, found: str, advice: str) -> Finding:
    """Return a finding that may do harm."""
    return Finding(WARNING, subject, found, advice)


def problem(subject: str, found: str, advice: str) -> Finding:
    """Return a finding that must be dealt with."""
    return Finding(PROBLEM, subject, found, advice)


def one_line(error: BaseException) -> str:
    """Return an error's first line, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def checked(subject: str, check: Check) -> list[Finding]:
    """
    Run one check.

    :param subject: names the check if it fails.
    :param check: returns its findings.
    :return: them; or, where the check raises, a problem that says so.
    """
    try:
        found = check()
        return [found] if isinstance(found, Finding) else list(found)
    except Exception as error:  # whatever is broken here is what the doctor is asked about
        return [
            problem(
                subject,
                f'this check failed: {type(error).__name__}: {one_line(error)}',
                'mend what the error names; if that is in order, report a bug of fcrn_ros',
            )
        ]
