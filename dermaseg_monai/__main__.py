"""``python -m dermaseg_monai``: the ``dermaseg`` command."""

from dermaseg_monai.cli.commands import main

main()
