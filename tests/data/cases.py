"""What a bad input is: how it is made, where the program must notice it, and what it must say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.data.good import Person


class Noticed(Enum):
    """Where a bad dataset must be noticed."""

    WHOLE = "the dataset is refused, before anything is planned"
    PLAN = "the participant has no target in the plan, and a row says why"
    CHECK = "the participant is planned, and the stage check refuses it"
    REMARK = "the participant is processed, and the plan says what is not used"
    OTHER = "the participant is processed; another row of the plan is an error"


@dataclass(frozen=True)
class BadDataset:
    """A BIDS dataset in which one participant (or the whole) is bad."""

    name: str
    noticed: Noticed
    damage: Callable[[Person], object]
    message: str
    """A pattern: what is wrong, where, what to do."""


@dataclass(frozen=True)
class Desk:
    """A folder to put bad files in, and the good ones to go with them."""

    folder: Path
    good: Path
    """The good dataset; only read."""

    @property
    def out(self) -> Path:
        """Where the command's outputs would be."""
        return self.folder / "out"

    @property
    def person(self) -> Person:
        return Person(self.good)

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def app(self, *words: object) -> list[object]:
        """The BIDS App's command line on the good dataset."""
        return [self.good, self.out, "participant", "--skip-bids-validation", *words]


@dataclass(frozen=True)
class BadCommand:
    """A command line with a bad file or a bad value."""

    name: str
    words: Callable[[Desk], Sequence[object]]
    message: str


CANARY = "canary"
TOUCH = f"$(touch {CANARY})"
"""What a shell would run where a name is not quoted."""
