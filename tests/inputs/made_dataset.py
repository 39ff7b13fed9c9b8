"""A BIDS dataset written file by file: empty images, real sidecars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Dataset:
    """Writes a BIDS dataset file by file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.json("dataset_description.json", {"Name": "made for a test", "BIDSVersion": "1.10.0"})

    def file(self, name: str, content: bytes = b"") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def json(self, name: str, content: dict[str, Any]) -> Path:
        return self.file(name, json.dumps(content).encode())

    def image(self, name: str, **fields: Any) -> Path:
        """Make an empty image and, given fields, the JSON sidecar beside it."""
        if fields:
            self.json(name.partition(".nii")[0] + ".json", fields)
        return self.file(name)

    def t1w(self, subject: str = "01", session: str | None = None, **extra: str) -> Path:
        folder, stem = self._start(subject, session)
        return self.image(f"{folder}/anat/{'_'.join([stem, *(f'{k}-{v}' for k, v in extra.items())])}_T1w.nii.gz")

    def bold(self, subject: str = "01", name: str = "task-rest", session: str | None = None, **fields: Any) -> Path:
        folder, stem = self._start(subject, session)
        given = {"RepetitionTime": 2.0, "EchoTime": 0.03} | fields
        return self.image(f"{folder}/func/{stem}_{name}_bold.nii.gz", **given)

    def echoes(self, *times_s: float, subject: str = "01", name: str = "task-rest", **fields: Any) -> list[Path]:
        return [
            self.bold(subject, f"{name}_echo-{number}", EchoTime=time_s, **fields)
            for number, time_s in enumerate(times_s, start=1)
        ]

    @staticmethod
    def _start(subject: str, session: str | None) -> tuple[str, str]:
        names = [f"sub-{subject}"] + ([f"ses-{session}"] if session else [])
        return "/".join(names), "_".join(names)
