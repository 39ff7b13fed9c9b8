"""The options as text for people: ``config.yaml`` and ``docs/options.md``, both made from `Options`.

``python -m tmsprep.options_text`` writes them again; a test compares them.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml

from tmsprep.options import json_schema

_WIDTH = 110


def config_text() -> str:
    """Return the documented configuration file: every option with its default, commented out."""
    lines = [
        "# Options of `snakemake --cores 2 --config bids_dir=... output_dir=...`, named as on tmsprep's command line.",
        "# Take the # away from what you change. Labels are text: write participant_label: ['01'], with the quotes.",
        "",
    ]
    for name, schema in json_schema()["properties"].items():
        lines += [f"# {line}" for line in textwrap.wrap(schema["description"], _WIDTH)]
        lines += [f"#{name}: {_default(schema)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def reference_text() -> str:
    """Return the reference of the options as Markdown."""
    lines = [
        "# Options",
        "",
        "One list serves the command line (`--participant-label`), `config.yaml` (`participant_label`) and Snakemake's",
        "`--config`. This page is made from the program.",
        "",
        "| option | default | meaning |",
        "|---|---|---|",
    ]
    for name, schema in json_schema()["properties"].items():
        choices = f" One of {', '.join(f'`{item}`' for item in schema['enum'])}." if "enum" in schema else ""
        shown = name if name in {"bids_dir", "output_dir"} else "--" + name.replace("_", "-")
        default = f"`{_default(schema)}`" if "default" in schema else ""
        words = " ".join(schema["description"].split())  # a table's row is one line
        lines.append(f"| `{shown}` | {default} | {words}{choices} |")
    lines += [
        "",
        "Only on the command line, because results do not depend on them: `--nprocs` (cores), `--mem-mb` (memory),",
        "`--dry-run`, `--version`. What follows `--` goes to Snakemake.",
    ]
    return "\n".join(lines) + "\n"


def _default(schema: dict[str, Any]) -> str:
    if "default" not in schema:
        return ""
    return yaml.safe_dump(schema["default"]).removesuffix("...\n").strip()


def main() -> None:
    """Write both files in the checkout that the program runs from."""
    root = Path(__file__).resolve().parents[2]
    (root / "config.yaml").write_text(config_text(), encoding="utf-8")
    (root / "docs" / "options.md").write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
