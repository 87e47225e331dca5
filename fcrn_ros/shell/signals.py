"""The end of a process on SIGINT or SIGTERM, at whatever moment they come."""

from __future__ import annotations

import signal


class Interrupted(KeyboardInterrupt):
    """
    A signal came.

    Python dies of SIGINT at its end if a plain KeyboardInterrupt, though caught later, has passed
    code that a library runs by PyRun_String, as the import of torch does.
    """


_came: list[int] = []  # signals


def was_interrupted() -> bool:
    """
    Whether a signal has come.

    One that comes while rclpy converts a message leaves it as a RuntimeError of its own.
    """
    return bool(_came)


def end_on_signals() -> None:
    """Let the first SIGINT or SIGTERM interrupt whatever is done, a model's loading included."""

    def interrupt(number: int, frame: object) -> None:
        _came.append(number)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)  # a second one must not break the ending
        raise Interrupted

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, interrupt)  # rclpy's own handlers call it
