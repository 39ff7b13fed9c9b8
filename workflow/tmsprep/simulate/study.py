"""From a request to files: one participant with all sessions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tmsprep.simulate import dataset
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.simulate.fieldmaps import FieldMapWriter
from tmsprep.simulate.participant import Conditions, Participant, acquire, make_participant, prepare_scene
from tmsprep.simulate.protocol import Protocol
from tmsprep.target.circuits import Circuit, load_circuit, read_circuit
from tmsprep.target.masks import load_search_mask


@dataclass(frozen=True)
class Request:
    """What is to be simulated."""

    out: Path
    label: str
    site: str
    sessions: tuple[str | None, ...]
    task: str
    protocol: Protocol
    circuit: str
    search_mask: str
    conditions: Conditions
    field_map: str
    """``none``, ``phasediff`` or ``epi``: the kind of field map to add."""
    fiducials: Path | None
    seed: int
    fine_mm: float | None = None
    """Spacing of the grid on which the signal is computed; None: 2 mm, or finer where the voxels are small."""

    def load_circuit(self) -> Circuit:
        """Return the circuit, shipped or the user's."""
        return read_circuit(Path(self.circuit)) if self.circuit.endswith(".json") else load_circuit(self.circuit)


def simulate(request: Request, files: AnatomyFiles) -> Participant:
    """Write one participant into a dataset, and return it."""
    search, circuit = load_search_mask(request.search_mask), request.load_circuit()
    fine_mm = request.fine_mm or min(2.0, request.protocol.voxel_mm / 1.5)
    person = make_participant(request.label, files.load(), search, request.seed, fine_mm=fine_mm)
    dataset.write_description(request.out)
    dataset.add_participant(request.out, request.label, request.site)
    for index, session in enumerate(request.sessions):
        names = dataset.Names(request.label, session, request.task)
        stream = f"session {session or 'only'}"
        scene, grid = prepare_scene(
            person,
            protocol=request.protocol,
            conditions=request.conditions,
            circuit=circuit,
            search=search,
            run=stream,
        )
        run = acquire(person, scene, request.protocol, grid, stream)
        if index == 0:
            dataset.write_t1w(request.out, names, files.t1w)
        dataset.write_run(request.out, names, run)
        if request.field_map != "none":
            _write_field_map(
                FieldMapWriter(request.out, names, run, person.generator(stream, "field map")), request.field_map
            )
        dataset.write_truth(request.out, names, person, run, request.fiducials)
    return person


def _write_field_map(writer: FieldMapWriter, kind: str) -> None:
    if kind == "phasediff":
        writer.phase_difference()
    else:
        writer.both_directions()
