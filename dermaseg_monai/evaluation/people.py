"""Agreement of people who outline the same lesions, from the literature."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """One published finding.

    Attributes:
        who: outlined the lesions.
        photos: that they outlined.
        finding: how far they differed, in the measure of the source.
        source: to cite.
        url: of the source.
    """

    who: str
    photos: str
    finding: str
    source: str
    url: str


IN_SHORT = (
    "For comparison: two dermatologists who outline the same lesion disagree on a region of about 15 % of its area, a "
    "Dice of about 0.93 and a Jaccard index of about 0.86."
)
"""The order of size, to stand beside tables of lesion scores; ``docs/explanation/against-people.md`` derives it."""

PEOPLE = (
    Agreement(
        "dermatologists",
        "77 dermoscopic photos",
        "The region of disagreement is 15.28 % of the lesion's area on average, and more than 28 % in one photo of "
        "ten. The experienced agree more with each other, and outline a little tighter.",
        "Where's the naevus? Inter-operator variability in the localization of melanocytic lesion border",
        "https://discovery.researcher.life/article/where-s-the-naevus-inter-operator-variability-in-the-localization-of-"
        "melanocytic-lesion-border/f21d28b4eb8f3af58881b3a24241fa2d",
    ),
    Agreement(
        "12 dermatologists, four each of three degrees of experience",
        "60 dermoscopic photos",
        "Disagreement of the order of 10 to 20 % of the lesions' area; three of four programs of the time disagreed "
        "with the experts by about 30 %, the fourth as much as other experts.",
        "Variability in human and automatic segmentation of melanocytic lesions, IEEE EMBC 2009",
        "https://doi.org/10.1109/IEMBS.2009.5332543",
    ),
    Agreement(
        "15 annotators of the ISIC Archive",
        "2,394 dermoscopic photos with two to five outlines each",
        "Agreement (Dice) goes with the diagnosis: it is lower for malignant lesions (p < 0.001).",
        "Abhishek, Kawahara and Hamarneh, arXiv:2508.09381, 2025",
        "https://arxiv.org/abs/2508.09381",
    ),
    Agreement(
        "the ISIC challenge of 2018",
        "1,000 test photos",
        "An outline with a Jaccard index below 0.65 counts as failed, a limit set with the difference between "
        "observers in mind. The best programs failed on more than 10 % of the photos.",
        "Codella et al., arXiv:1902.03368, 2019",
        "https://arxiv.org/abs/1902.03368",
    ),
)
"""What is known, the measures as their sources give them: they do not convert into each other."""
