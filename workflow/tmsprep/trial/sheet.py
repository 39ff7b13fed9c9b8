"""The one-page sheet of a package, as PDF: the same form, the same digits and the same size for everyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tmsprep import DISCLAIMER
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.site import CoilSite
from tmsprep.trial.neutral import AIM_DEPTH_MM, LARGEST_SHIFT_MM

_A4_INCHES = (8.27, 11.69)
_STYLE: Any = {
    "pdf.use14corefonts": True,  # nothing embedded: a font's part in the file would depend on the digits
    "pdf.compression": 0,  # so that a size does not depend on what is written
    "font.family": "Helvetica",
    "font.weight": "medium",
    "text.usetex": False,
}
_LINE = 0.026
_LEFT, _VALUES = 0.09, 0.42


def save_target_sheet(path: Path, label: str, site: CoilSite, image: NavigatorImage) -> None:
    """Write the sheet of a participant with a target.

    Parameters
    ----------
    path
        Ends in ``.pdf``.
    label
        ``sub-01`` or ``sub-01_ses-1``.
    site
        Neutral, scanner RAS mm.
    image
        The T1w that the navigator must load.
    """
    rotation = site.coil_ras_mm[:3, :3]
    lines = [
        ("Participant", label),
        ("Load this T1w image", image.uri.rpartition("/")[2]),
        ("  its SHA-256", image.sha256[:32]),
        ("", image.sha256[32:]),
        ("", ""),
        ("Coil centre on the scalp", _numbers(site.entry_ras_mm)),
        ("Aim point below it", _numbers(site.target_ras_mm)),
        ("Coil axis, into the head", _numbers(rotation[:, 2])),
        ("Coil handle, away from the centre", _numbers(-rotation[:, 1])),
    ]
    remarks = (
        "Scanner RAS coordinates of the image named above: x to the participant's right, y to the front, z up;",
        f"mm for places. The aim point lies {AIM_DEPTH_MM:.0f} mm below the coil for everyone: it is no measured depth.",
        f"Places are given in whole millimetres (at most {LARGEST_SHIFT_MM:.1f} mm from the one derived).",
        "Load the file beside this sheet; check the image's name and SHA-256 first. Type no numbers from this page.",
        DISCLAIMER,
    )
    _save(path, "TMS target", lines, remarks)


def save_stop(path: Path, label: str) -> None:
    """Write the sheet of a participant without a target."""
    remarks = (
        "No target is given for this participant.",
        "Do not treat. Do not use a file of another participant. Ask the trial manager.",
        DISCLAIMER,
    )
    _save(path, "STOP: no target", [("Participant", label)], remarks)


def _numbers(values: Any) -> str:
    """Return three numbers, each with sign and the same count of digits."""
    return "   ".join(f"{float(value) + 0.0:+07.2f}" for value in values)


def _save(path: Path, title: str, lines: list[tuple[str, str]], remarks: tuple[str, ...]) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=_A4_INCHES)
        FigureCanvasPdf(figure)
        figure.text(_LEFT, 0.91, title, fontsize=22, fontweight="bold")
        height = 0.86
        for name, value in lines:
            figure.text(_LEFT, height, name, fontsize=11)
            figure.text(_VALUES, height, value, fontsize=11, family="Courier", fontweight="bold")
            height -= _LINE
        height -= _LINE
        for text in remarks:
            figure.text(_LEFT, height, text, fontsize=10)
            height -= _LINE
        figure.savefig(path, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
