"""Locator of a config's components, without a look at every module of MONAI."""

from __future__ import annotations

import monai
from monai.bundle.config_item import ComponentLocator
from monai.utils.module import load_submodules


class Locator(ComponentLocator):
    """Finds components without a look at every module of MONAI, wherever their names allow it.

    MONAI's own locator lists the classes of all modules, also for a component that is given by its full name.
    """

    def get_component_module_name(self, name: str) -> list[str] | str | None:
        if "." in name:
            return None
        for package in (monai.transforms, monai.data):
            if hasattr(package, name):
                return getattr(package, name).__module__
        load_submodules(monai, True, monai.excludes)  # those that lazy faces have left out
        return super().get_component_module_name(name)
