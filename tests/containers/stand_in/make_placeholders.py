"""Make the templates that fMRIPrep's image comes with, as small images of nothing: the test sees that they are found.

The list is the one that fMRIPrep's own script for filling its image states (scripts/fetch_templates.py of fMRIPrep 25.2).
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np

VOLUMES = {
    "MNI152NLin2009cAsym": (
        "res-01_T1w",
        "res-01_T2w",
        "res-02_T1w",
        "res-02_T2w",
        "res-01_desc-brain_mask",
        "res-02_desc-brain_mask",
        "res-01_desc-carpet_dseg",
        "res-02_desc-fMRIPrep_boldref",
        "res-01_label-brain_probseg",
    ),
    "MNI152NLin6Asym": (
        "res-01_T1w",
        "res-02_T1w",
        "res-01_desc-brain_mask",
        "res-02_desc-brain_mask",
        "res-02_atlas-HCP_dseg",
    ),
    "OASIS30ANTs": (
        "res-01_T1w",
        "res-01_label-WM_probseg",
        "res-01_label-BS_probseg",
        "res-01_label-brain_probseg",
        "res-01_desc-brain_mask",
        "res-01_desc-BrainCerebellumExtraction_mask",
    ),
}

for template, names in VOLUMES.items():
    for name in names:
        path = Path(sys.argv[1]) / f"tpl-{template}" / f"tpl-{template}_{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), dtype=np.uint8), np.eye(4)), path)
