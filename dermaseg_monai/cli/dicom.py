"""Commands that speak DICOM over a network: ``dicomweb`` and ``node``."""

from __future__ import annotations

import sys
from typing import Any

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.utils.errors import LEFT_OUT
from dermaseg_monai.utils.words import number_of


@typed
def dicomweb(
    url: str,
    study: str | None = None,
    query: str | None = None,
    bundle: str = FLAGSHIP,
    outline: bool = False,
    credentials: str | None = None,
    authority: str | None = None,
    **overrides: Any,
) -> None:
    """Segment the photos of a DICOMweb archive, and store the results in their studies.

    Args:
        url: the archive's service root, such as https://pacs.example/dicom-web.
        study: UID of the study to work on.
        query: or a query for studies, such as "StudyDate=20260101-,ModalitiesInStudy=DMS".
        bundle: name of a bundle with weights, or a bundle's folder.
        outline: also store each photo with its outline, for viewers that show no segmentations.
        credentials: JSON file with token, or user and password; otherwise the environment is asked.
        authority: file of certificates to trust.
        **overrides: ids of the bundle's inference.json.
    """
    from dermaseg_monai.dicom.dicomweb import run_dicomweb

    tally = run_dicomweb(url, study, query, bundle, outline, credentials, authority, **overrides)
    print(
        f"{number_of(tally.stored, 'photo')} segmented, {tally.done} done before, {tally.left_out} left out"
    )
    if tally.left_out:
        sys.exit(LEFT_OUT)


@typed
def node(
    ae_title: str,
    port: int,
    return_to: str,
    accept: str | tuple[str, ...],
    spool: str,
    bundle: str = FLAGSHIP,
    host: str = "0.0.0.0",
    outline: bool = False,
    **overrides: Any,
) -> None:
    """Serve as a DICOM node: take photos by C-STORE, segment them, send the results on.

    Args:
        ae_title: the node's own AE title.
        port: port to listen at.
        return_to: where results go, such as PACS@10.0.0.5:4242.
        accept: AE titles that may send photos, separated by commas; all others are rejected.
        spool: folder of photos on their way.
        bundle: name of a bundle with weights, or a bundle's folder.
        host: address to listen at.
        outline: also send each photo with its outline, for viewers that show no segmentations.
        **overrides: ids of the bundle's inference.json.
    """
    from dermaseg_monai.dicom.node import run_node

    titles = accept.split(",") if isinstance(accept, str) else [str(title) for title in accept]
    run_node(ae_title, port, return_to, titles, spool, bundle, host, outline, **overrides)
