"""The ``dermaseg`` command."""
