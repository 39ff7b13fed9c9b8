"""The methods paragraph: what was done to this participant, and the works behind it; nothing that was not used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tmsprep.report.facts import Components, Pair, Run, Sites


@dataclass(frozen=True)
class Work:
    """A publication."""

    short: str
    full: str
    doi: str


WORKS: dict[str, Work] = {
    "beam": Work(
        "Beam et al. 2009",
        "Beam W, Borckardt JJ, Reeves ST, George MS. An efficient and accurate new method for locating the F3 position "
        "for prefrontal TMS applications. Brain Stimulation 2009;2:50-54.",
        "10.1016/j.brs.2008.09.006",
    ),
    "fox2012": Work(
        "Fox et al. 2012",
        "Fox MD, Buckner RL, White MP, Greicius MD, Pascual-Leone A. Efficacy of transcranial magnetic stimulation targets "
        "for depression is related to intrinsic functional connectivity with the subgenual cingulate. Biological Psychiatry "
        "2012;72:595-603.",
        "10.1016/j.biopsych.2012.04.028",
    ),
    "fox2013": Work(
        "Fox et al. 2013",
        "Fox MD, Liu H, Pascual-Leone A. Identification of reproducible individualized targets for treatment of depression "
        "with TMS based on intrinsic connectivity. NeuroImage 2013;66:151-160.",
        "10.1016/j.neuroimage.2012.10.082",
    ),
    "cash": Work(
        "Cash et al. 2021",
        "Cash RFH, Cocchi L, Lv J, Wu Y, Fitzgerald PB, Zalesky A. Personalized connectivity-guided DLPFC-TMS for "
        "depression: advancing computational feasibility, precision and reproducibility. Human Brain Mapping "
        "2021;42:4155-4172.",
        "10.1002/hbm.25330",
    ),
    "siddiqi": Work(
        "Siddiqi et al. 2021",
        "Siddiqi SH, Schaper FLWVJ, Horn A, et al. Brain stimulation and brain lesions converge on common causal circuits "
        "in neuropsychiatric disease. Nature Human Behaviour 2021;5:1707-1716.",
        "10.1038/s41562-021-01161-1",
    ),
    "tedana": Work(
        "DuPre et al. 2021",
        "DuPre E, Salo T, Ahmed Z, et al. TE-dependent analysis of multi-echo fMRI with tedana. Journal of Open Source "
        "Software 2021;6(66):3669.",
        "10.21105/joss.03669",
    ),
    "kundu": Work(
        "Kundu et al. 2013",
        "Kundu P, Brenowitz ND, Voon V, et al. Integrated strategy for improving functional connectivity mapping using "
        "multiecho fMRI. PNAS 2013;110:16187-16192.",
        "10.1073/pnas.1301725110",
    ),
    "power": Work(
        "Power et al. 2012",
        "Power JD, Barnes KA, Snyder AZ, Schlaggar BL, Petersen SE. Spurious but systematic correlations in functional "
        "connectivity MRI networks arise from subject motion. NeuroImage 2012;59:2142-2154.",
        "10.1016/j.neuroimage.2011.10.018",
    ),
}

_METHODS = {
    "timecourse": (
        "each place in the search region was scored by the correlation of its signal with the weighted signal of the "
        "circuit, the search region and its surroundings excluded from the circuit"
    ),
    "seed": "each place in the search region was scored by its connectivity with the circuit's seed region",
    "similarity": (
        "each place in the search region was scored by the correlation of its map of functional connectivity (Fisher z) "
        "with the circuit, the search region and its surroundings excluded"
    ),
    "similarity-linear": (
        "each place in the search region was scored by the correlation of its map of functional connectivity with the "
        "circuit, the search region and its surroundings excluded"
    ),
    "parcel": (
        "the search region was divided by its own connectivity, and its parts were ranked by size, compactness and "
        "opposition to the subgenual cingulate"
    ),
}


@dataclass(frozen=True)
class Sentence:
    """One sentence, without its full stop, and the works that it rests on."""

    text: str
    works: tuple[Work, ...] = ()


@dataclass(frozen=True)
class Methods:
    """The paragraph, its works in order of use, and the versions that the files record."""

    sentences: tuple[Sentence, ...]
    versions: tuple[Pair, ...]

    @property
    def works(self) -> tuple[Work, ...]:
        """Every work once, in order of first use."""
        return tuple(dict.fromkeys(work for sentence in self.sentences for work in sentence.works))


def describe(sites: Sites, runs: Sequence[Run], components: Sequence[Components], versions: Sequence[Pair]) -> Methods:
    """Write the paragraph for one participant."""
    sentences = [*_denoising(runs, components), *_targeting(sites), *_scalp(sites)]
    return Methods(tuple(sentences), tuple(versions))


def _denoising(runs: Sequence[Run], components: Sequence[Components]) -> list[Sentence]:
    sentences = [Sentence(f"{_count(len(runs), 'functional MRI run')} entered the analysis")]
    if components:
        steps = sorted({item.rung for item in components})
        text = (
            f"{_count(len(components), 'multi-echo run')} went through tedana, which removes signal components that do not "
            f"scale with echo time as blood oxygenation does (recorded step of its fallback ladder: {', '.join(steps)})"
        )
        sentences.append(Sentence(text, (WORKS["tedana"], WORKS["kundu"])))
    thresholds = sorted({run.threshold_mm for run in runs if run.threshold_mm is not None})
    if thresholds:
        told = ", ".join(f"{value:g}" for value in thresholds)
        text = f"Volumes with a framewise displacement above {told} mm were left out of the nuisance regression"
        sentences.append(Sentence(text, (WORKS["power"],)))
    return sentences


def _targeting(sites: Sites) -> list[Sentence]:
    result = sites.target
    how = _METHODS.get(result.method, "each place in the search region was scored")
    text = (
        f"The circuit was '{result.circuit}', the search region '{result.search_mask}', the method '{result.method}': {how}"
    )
    works = [WORKS["fox2012"], WORKS["fox2013"]]
    if "convergent-depression" in result.circuit:
        works.append(WORKS["siddiqi"])
    cluster = Sentence(
        "The target comes from the largest cluster of the best scores and was moved onto grey matter of that cluster",
        (WORKS["cash"],),
    )
    return [Sentence(text, tuple(works)), *([cluster] if result.candidates else [])]


def _scalp(sites: Sites) -> list[Sentence]:
    text = (
        "Beam F3 was computed from three lengths measured on the scalp surface, with the constants of the method's web "
        "calculator"
    )
    where = "" if sites.beamf3_scalp_ras_mm else "; no place was given out"
    return [Sentence(text + where, (WORKS["beam"],))]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
