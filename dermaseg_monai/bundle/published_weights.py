"""Published weights of promptable models: file, address and checksum of each. Data, no torch."""

from __future__ import annotations

from dataclasses import dataclass

from dermaseg_monai.utils.errors import InputError


@dataclass(frozen=True)
class Checkpoint:
    """A published file of weights and what it needs around it.

    Attributes:
        family: the model's name; weights of one family may take each other's place in a bundle.
        architecture: of :class:`~dermaseg_monai.sam.network.SamNetwork`.
        preprocessing: a key of :data:`~dermaseg_monai.sam.preprocess.PREPROCESSING`.
        file: the published name.
        url: its official address.
        size: in bytes.
        sha256: of the whole file.
    """

    family: str
    architecture: str
    preprocessing: str
    file: str
    url: str
    size: int
    sha256: str


_META = "https://dl.fbaipublicfiles.com/segment_anything"

CHECKPOINTS: dict[str, Checkpoint] = {
    "sam_vit_b": Checkpoint(
        family="SAM",
        architecture="vit_b",
        preprocessing="sam",
        file="sam_vit_b_01ec64.pth",
        url=f"{_META}/sam_vit_b_01ec64.pth",
        size=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "sam_vit_l": Checkpoint(
        family="SAM",
        architecture="vit_l",
        preprocessing="sam",
        file="sam_vit_l_0b3195.pth",
        url=f"{_META}/sam_vit_l_0b3195.pth",
        size=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "sam_vit_h": Checkpoint(
        family="SAM",
        architecture="vit_h",
        preprocessing="sam",
        file="sam_vit_h_4b8939.pth",
        url=f"{_META}/sam_vit_h_4b8939.pth",
        size=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    "medsam_vit_b": Checkpoint(
        family="MedSAM",
        architecture="vit_b",
        preprocessing="medsam",
        file="medsam_vit_b.pth",
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        size=375_049_145,
        sha256="34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74",
    ),
    "mobile_sam": Checkpoint(
        family="MobileSAM",
        architecture="tiny_vit",
        preprocessing="sam",
        file="mobile_sam.pt",
        url="https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
        size=40_728_226,
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
    ),
}
"""The published weights by name."""


def get_checkpoint(name: str) -> Checkpoint:
    """The entry of :data:`CHECKPOINTS` called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in CHECKPOINTS:
        raise InputError(f"there are no published weights '{name}'; choose one of {', '.join(CHECKPOINTS)}.")
    return CHECKPOINTS[name]
