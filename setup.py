"""The build's one step of its own: the bundles go into the wheel, as dermaseg_monai/_bundles."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# a build backend does not look where its setup.py is; the modules below need nothing but Python
sys.path.insert(0, str(ROOT))

from dermaseg_monai.bundle.catalogue import BUNDLES  # noqa: E402
from dermaseg_monai.bundle.files import bundle_files  # noqa: E402


class BuildWithBundles(build_py):
    """Copies the bundles' files beside the modules; an editable install reads them where they are."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for source, target in self._bundles().items():
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target), preserve_mode=False)

    def get_output_mapping(self):
        mapping = super().get_output_mapping()
        if self.editable_mode:
            return mapping
        return mapping | {str(target): str(source) for source, target in self._bundles().items()}

    def get_outputs(self, include_bytecode=True):
        bundles = [] if self.editable_mode else [str(target) for target in self._bundles().values()]
        return super().get_outputs(include_bytecode) + bundles

    def _bundles(self):
        home, goal = ROOT / "bundles", Path(self.build_lib) / "dermaseg_monai" / "_bundles"
        # a checkout may have trained others
        shipped = {bundle.name for bundle in BUNDLES if bundle.ships_weights}
        copies = {}
        for metadata in sorted(home.glob("**/configs/metadata.json")):
            folder = metadata.parents[1]
            for name, path in bundle_files(folder).items():
                if not name.startswith("models/") or folder.name in shipped:
                    copies[path] = goal / folder.relative_to(home) / name
        return copies


setup(cmdclass={"build_py": BuildWithBundles})
