"""niimath: the image operations of it that the anatomical stages use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nipype.interfaces.base import CommandLine, CommandLineInputSpec, File, TraitedSpec, traits

_BESIDE_PYTHON = Path(sys.executable).with_name("niimath")


class N4InputSpec(CommandLineInputSpec):
    """Inputs of `N4`."""

    in_file = File(exists=True, mandatory=True, argstr="%s", position=0, desc="3D image")
    mask_file = File(exists=True, argstr="-mask %s", position=2, desc="estimate inside it only")
    out_file = File(mandatory=True, argstr="%s", position=-1, desc="corrected image")
    correct = traits.Bool(True, usedefault=True, argstr="-n4", position=1, desc="bias-field correction")


class OutFileSpec(TraitedSpec):
    """One image."""

    out_file = File(exists=True, desc="the image written")


class N4(CommandLine):
    """Bias-field correction by niimath's port of ANTs' N4 (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908).

    Written as 32-bit float.
    """

    _cmd = str(_BESIDE_PYTHON) if _BESIDE_PYTHON.exists() else "niimath"
    input_spec = N4InputSpec
    output_spec = OutFileSpec

    def _list_outputs(self) -> dict[str, Any]:
        return {"out_file": self.inputs.out_file}
