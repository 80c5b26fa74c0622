"""The ``dermaseg`` command."""

from __future__ import annotations

import getpass
import io
import logging
import os
import sys

from dermaseg_monai.cli import data, dicom, page, prediction, quality, sharing
from dermaseg_monai.cli.compare_prompts import compare_prompts
from dermaseg_monai.cli.study import report_study, run_study
from dermaseg_monai.utils.command import run_command


class Study:
    """Ablation studies: train the variants of bundles, and compare them."""

    run = staticmethod(run_study)
    report = staticmethod(report_study)


class Commands:
    """Skin-lesion segmentation models as MONAI bundles: data, catalogue, prediction."""

    prepare = staticmethod(data.prepare)
    phantom = staticmethod(data.phantom)
    download = staticmethod(data.download)
    distribution = staticmethod(data.distribution)
    predict = staticmethod(prediction.predict)
    show = staticmethod(prediction.show)
    quantise = staticmethod(prediction.quantise)
    evaluate = staticmethod(quality.evaluate)
    calibrate = staticmethod(quality.calibrate)
    audit = staticmethod(quality.audit)
    dicomweb = staticmethod(dicom.dicomweb)
    node = staticmethod(dicom.node)
    app = staticmethod(page.app)
    site = staticmethod(page.site)
    bundles = staticmethod(sharing.bundles)
    pack = staticmethod(sharing.pack)
    verify = staticmethod(sharing.verify)
    get = staticmethod(sharing.get)
    study = Study
    compare_prompts = staticmethod(compare_prompts)


def main() -> None:
    """Run the command; what the user got wrong is said in one sentence, with exit code 1.

    Exit code 3: done, but something was left out, which is named. 130: stopped by Ctrl-C.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        getpass.getuser()
    except (
        KeyError,
        OSError,
    ):  # a user id without an account, as containers have them; MONAI asks for the name
        os.environ["USER"] = str(os.getuid())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    run_command(Commands(), "dermaseg")


if __name__ == "__main__":
    main()
