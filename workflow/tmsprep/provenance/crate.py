"""The Workflow Run RO-Crate of a run: RO-Crate 1.1 with the profile Provenance Run Crate 0.5.

It lies in the dataset with targets and describes the whole chain: files of this dataset by their place in it, files of
other datasets by BIDS URI and checksum. https://w3id.org/ro/wfrun/provenance/0.5
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tmsprep import DISCLAIMER, __version__
from tmsprep.files import json_text, read_json
from tmsprep.provenance.bidsprov import Records
from tmsprep.provenance.datasets import DESCRIPTION, Dataset
from tmsprep.provenance.describe import CODE_URL
from tmsprep.provenance.lineage import File, Lineage, Step
from tmsprep.workflow_files import snakefile

NAME = "ro-crate-metadata.json"
_WORKFLOW = Path("prov") / "workflow"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_MEMORY_UNIT = "https://qudt.org/vocab/unit/MebiBYTE"
_NO_RUN = "run-unknown"
_FINAL = ("_markers.tsv", "_target.json", "_navigators.json", ".html")
"""What a run is for."""
_MEDIA = {
    ".json": "application/json", ".tsv": "text/tab-separated-values", ".html": "text/html", ".txt": "text/plain",
    ".png": "image/png", ".xml": "application/xml", ".gz": "application/gzip", ".h5": "application/x-hdf5",
}  # fmt: skip


def crate(lineage: Lineage) -> dict[Path, str]:
    """Return the crate's metadata file and the copies of the workflow's source; nothing without a dataset with targets."""
    dataset = lineage.main
    if dataset is None:
        return {}
    source = snakefile()
    paths = [source, *sorted((source.parent / "rules").glob("*.smk"))]
    copies = {dataset.root / _WORKFLOW / path.relative_to(source.parent): path.read_text(encoding="utf-8") for path in paths}
    rules = [path.name for path in paths[1:]]
    return copies | {dataset.root / NAME: json_text(Crate(lineage, dataset, rules).metadata())}


class Crate:
    """A crate in the making."""

    def __init__(self, lineage: Lineage, dataset: Dataset, rules: Sequence[str]) -> None:
        """Take the records of all runs, and the names of the files with rules."""
        from rocrate.model import ContextEntity
        from rocrate.rocrate import ROCrate

        self._lineage = lineage
        self._dataset = dataset
        self._rules = rules
        self._workflow_runs = lineage.workflow_runs()
        self._records = Records(lineage, dataset, list(lineage.steps))
        self._crate: Any = ROCrate(version="1.1")
        self._entity: Any = ContextEntity
        self._crate.metadata.extra_contexts.append(_TERMS)
        self._known: set[str] = set()
        self._parts: dict[str, dict[str, str]] = {}

    def metadata(self) -> dict[str, Any]:
        """Return the JSON-LD."""
        root = self._crate.root_dataset
        workflow = self._workflow()
        controls = {step: self._step(step) for step in self._lineage.steps}
        runs = [self._run(name, content, workflow, controls) for name, content in self._runs().items()]
        self._describe_root()
        root["mainEntity"] = workflow
        root["mentions"] = runs
        root["hasPart"] = list(self._parts.values())
        return self._crate.metadata.generate()

    def _add(self, identifier: str, kind: str | list[str], /, **properties: Any) -> dict[str, str]:
        """Add an entity unless it is there, and return the reference to it."""
        if identifier not in self._known:
            self._known.add(identifier)
            if identifier in self._crate:
                raise ValueError(f"{identifier} names an entity that is there by another spelling")
            # not add_jsonld: it looks through all entities that are there for a crate within this one
            self._crate.add(self._entity(self._crate, identifier, properties={"@type": kind} | properties))
        return {"@id": identifier}

    def _describe_root(self) -> None:
        description = read_json(self._dataset.root / DESCRIPTION)
        root = self._crate.root_dataset
        root["name"] = description.get("Name", "TMSPrep")
        root["description"] = f"Individual TMS targets, and how they were derived. {DISCLAIMER}"
        root["license"] = str(description.get("License") or "see the source dataset")
        root["datePublished"] = str(self._lineage.steps[-1].activity.content["EndedAtTime"])
        root["conformsTo"] = [
            self._add(address, "CreativeWork", name=name, version=address.rpartition("/")[2])
            for address, name in _PROFILES.items()
        ]

    # Files

    def _file(self, file: File) -> dict[str, str]:
        """Add a file: of this dataset by its place, of others by its URI."""
        uri = self._records.uri(file)
        own = file.dataset == self._dataset.name
        return self._data(quote(file.path) if own else uri, file.name, sha256=file.sha256, identifier=uri)

    def _data(self, place: str, name: str, kind: str | list[str] = "File", /, **properties: Any) -> dict[str, str]:
        media = _MEDIA.get(Path(name).suffix)
        extra = {"encodingFormat": media} if media else {}
        reference = self._add(place, kind, name=name, **extra, **properties)
        return self._parts.setdefault(place, reference)

    # What was to be done

    def _workflow(self) -> dict[str, str]:
        language = self._add(
            _SNAKEMAKE, "ComputerLanguage", name="Snakemake", identifier={"@id": "https://snakemake.github.io"},
            url={"@id": "https://snakemake.github.io"},
        )  # fmt: skip
        self._add("https://snakemake.github.io", "WebSite", name="Snakemake")
        stages = dict.fromkeys(step.stage for step in self._lineage.steps)
        for name in self._rules:
            self._data(f"{_WORKFLOW.as_posix()}/rules/{name}", name, ["File", "SoftwareSourceCode"])
        return self._data(
            f"{_WORKFLOW.as_posix()}/Snakefile",
            "TMSPrep's workflow",
            ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            version=__version__,
            url=CODE_URL,
            programmingLanguage=language,
            hasPart=[self._tool(name) for name in stages],
            step=[
                self._add(f"#step-{name}", "HowToStep", name=name, position=str(number), workExample=self._tool(name))
                for number, name in enumerate(stages)
            ],
        )

    def _tool(self, name: str) -> dict[str, str]:
        return self._add(
            f"#tool-{name}", "SoftwareApplication", name=f"tmsprep stage {name}", softwareVersion=__version__, url=CODE_URL
        )

    # What was done

    def _step(self, step: Step) -> dict[str, str]:
        """Add a stage run; return the reference to its orchestration."""
        content = step.activity.content
        record = f"#memory-{step.identifier}"
        memory = self._add(
            record, "PropertyValue", name="peak memory", propertyID="maxrss", value=str(content["PeakMemoryMiB"]),
            unitCode=_MEMORY_UNIT,
        )  # fmt: skip
        action = self._add(
            f"#{step.identifier}",
            "CreateAction",
            name=f"{step.stage}, {step.participant}",
            description=content["Command"],
            instrument=self._tool(step.stage),
            object=[self._file(file) for file in dict.fromkeys(step.used)],
            result=[self._file(file) for file in dict.fromkeys(step.generated)],
            startTime=content["StartedAtTime"],
            endTime=content["EndedAtTime"],
            actionStatus={"@id": "http://schema.org/CompletedActionStatus"},
            resourceUsage=[memory],
            **self._image(content),
        )
        return self._add(
            f"#control-{step.identifier}",
            "ControlAction",
            name=f"orchestrate {step.stage}",
            instrument={"@id": f"#step-{step.stage}"},
            object=action,
        )

    def _image(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the container image that a stage ran in or started, where one is known."""
        image = content.get("Container") or content["Environment"].get("Container") or {}
        if not isinstance(image, dict) or image.get("Type", "none") == "none":
            return {}
        name = image.get("URI") or image.get("Tag") or "@".join(filter(None, (image.get("Image"), image.get("Digest"))))
        digest = name.rpartition("sha256:")[2] if "sha256:" in name else ""
        extra = {"sha256": digest} if digest else {}
        kind = {"@id": "https://w3id.org/ro/terms/workflow-run#DockerImage"}
        identifier = f"#image-{digest[:12] or quote(name) or 'unnamed'}"
        return {"containerImage": self._add(identifier, "ContainerImage", name=name, additionalType=kind, **extra)}

    def _runs(self) -> dict[str, Mapping[str, Any]]:
        """Return the records of workflow runs by name, and an empty one for stages that ran without a workflow."""
        runs: dict[str, Mapping[str, Any]] = dict(self._workflow_runs)
        alone = any(self._run_of(step) not in runs for step in self._lineage.steps)
        return runs | ({_NO_RUN: {}} if alone else {})

    def _run_of(self, step: Step) -> str:
        return str(step.activity.content.get("Run") or _NO_RUN)

    def _known_run_of(self, step: Step) -> str:
        name = self._run_of(step)
        return name if name in self._workflow_runs else _NO_RUN

    def _run(
        self, name: str, content: Mapping[str, Any], workflow: dict[str, str], controls: Mapping[Step, dict[str, str]]
    ) -> dict[str, str]:
        """Add a run of the workflow and of its engine."""
        steps = [step for step in controls if self._known_run_of(step) == name]
        times = [str(step.activity.content[key]) for step in steps for key in ("StartedAtTime", "EndedAtTime")]
        started = content.get("StartedAtTime") or min(times, default=None)
        ended = content.get("EndedAtTime") or max(times, default=None)
        status = "Completed" if content.get("ExitStatus", 0) == 0 else "Failed"
        action = self._add(
            f"#{name}",
            "CreateAction",
            name=f"run of the workflow ({name})",
            description=content.get("Command", "stages that ran without a recorded run of the workflow"),
            instrument=workflow,
            object=[self._file(file) for file in self._lineage.raw_files(steps)],
            result=[self._file(file) for step in steps for file in step.generated if self._final(file)],
            actionStatus={"@id": f"http://schema.org/{status}ActionStatus"},
            **{key: value for key, value in (("startTime", started), ("endTime", ended)) if value},
        )
        if steps:
            self._organise(name, content, action, [controls[step] for step in steps])
        return action

    def _final(self, file: File) -> bool:
        return file.dataset == self._dataset.name and file.name.endswith(_FINAL)

    def _organise(
        self, name: str, content: Mapping[str, Any], action: dict[str, str], controls: Iterable[dict[str, str]]
    ) -> None:
        number = content.get("Software", {}).get("snakemake", "")
        engine = self._add(
            f"#snakemake-{number}", "SoftwareApplication", name="Snakemake", softwareVersion=number or "unknown",
            url="https://snakemake.github.io",
        )  # fmt: skip
        self._add(
            f"#engine-{name}",
            "OrganizeAction",
            name=f"run of Snakemake {number}".strip(),
            instrument=engine,
            object=list(controls),
            result=action,
        )
