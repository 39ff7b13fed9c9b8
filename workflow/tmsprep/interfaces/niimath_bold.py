"""Nipype interfaces to niimath's head-motion estimation and phase unwrapping.

niimath (BSD-2) comes as a Python wheel with its executable; https://github.com/rordenlab/niimath.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nipype.interfaces.base import CommandLine, CommandLineInputSpec, File, TraitedSpec, traits

_BESIDE_PYTHON = Path(sys.executable).with_name("niimath")
_NIIMATH = str(_BESIDE_PYTHON) if _BESIDE_PYTHON.exists() else "niimath"


class _EstimateMotionInput(CommandLineInputSpec):
    bold = File(exists=True, mandatory=True, position=0, argstr="%s", desc="4D series")
    reference_image = File(
        exists=True, position=1, argstr="-moco -ref %s", xor=["reference_volume"], desc="3D, on the grid of the series"
    )
    reference_volume = traits.Int(
        position=1, argstr="-moco -ref %d", xor=["reference_image"], desc="index of the volume to align the others to"
    )
    parameters = File(
        position=2, argstr="-estimate %s", mandatory=True, desc="name of the .1D file to write; no image is written"
    )


class _EstimateMotionOutput(TraitedSpec):
    parameters = File(exists=True, desc="a row a volume: roll, pitch, yaw (degrees), dS, dL, dP (mm)")


class EstimateMotion(CommandLine):
    """``niimath BOLD -moco -ref REFERENCE -estimate PARAMETERS``: rigid motion of every volume, in 3dvolreg's terms.

    `tmsprep.preprocess.builtin.motion.matrices_from_1d` states what the six columns mean in space.
    """

    _cmd = _NIIMATH
    input_spec = _EstimateMotionInput
    output_spec = _EstimateMotionOutput

    def _list_outputs(self) -> dict[str, Any]:
        return {"parameters": str(self.inputs.parameters)}


class _UnwrapPhaseInput(CommandLineInputSpec):
    phase = File(exists=True, mandatory=True, position=0, argstr="%s", desc="3D, wrapped, radians")
    magnitude = File(exists=True, mandatory=True, position=1, argstr="-romeo %s", desc="3D, on the same grid")
    mask = File(exists=True, mandatory=True, position=2, argstr="-k %s -no-phase-rescale", desc="where to unwrap")
    unwrapped = File(mandatory=True, position=3, argstr="%s", desc="name of the image to write")


class _UnwrapPhaseOutput(TraitedSpec):
    unwrapped = File(exists=True, desc="radians")


class UnwrapPhase(CommandLine):
    """``niimath PHASE -romeo MAGNITUDE``: ROMEO phase unwrapping (Dymerska et al. 2021, doi:10.1002/mrm.28563)."""

    _cmd = _NIIMATH
    input_spec = _UnwrapPhaseInput
    output_spec = _UnwrapPhaseOutput

    def _list_outputs(self) -> dict[str, Any]:
        return {"unwrapped": str(self.inputs.unwrapped)}
