"""The errors that TMSPrep raises on purpose.

Each carries one message a user can act on: what was found, where, what was expected, what to do. Anything else that is
raised is a defect of this program.
"""

from __future__ import annotations

from pathlib import Path

ERROR_MARK = "tmsprep: error: "
"""Begins the line, on the terminal or in a log, in which such an error is told."""


class TmsprepError(Exception):
    """Base of all errors that a user can act on.

    Parameters
    ----------
    what
        What was found.
    where
        The file, participant or option concerned.
    expected
        What was expected instead.
    action
        What the user can do.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        expected: str | None = None,
        action: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.action = action
        super().__init__(self._message())

    def _message(self) -> str:
        text = f"{self.where}: {self.what}" if self.where is not None else self.what
        sentences = [text.rstrip(".")]
        if self.expected:
            sentences.append(f"Expected: {self.expected.rstrip('.')}")
        if self.action:
            sentences.append(f"What to do: {self.action.rstrip('.')}")
        return ". ".join(sentences) + "."


class InputError(TmsprepError):
    """The dataset, or a file in it, cannot be used."""


class ContractError(TmsprepError):
    """Preprocessed data lack something that the later stages need."""


class ConfigurationError(TmsprepError):
    """An option or the configuration file is wrong."""


class ProcessingError(TmsprepError):
    """A computation ended in a result that must not be used."""


class ExternalProgramError(TmsprepError):
    """A program that TMSPrep starts failed."""
