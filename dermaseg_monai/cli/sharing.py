"""Commands of the collection: ``bundles``, ``pack``, ``verify`` and ``get``."""

from __future__ import annotations

import logging
import sys

from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.utils.errors import InputError


@typed
def bundles(json: bool = False) -> None:
    """List the bundles of the collection.

    Args:
        json: print a JSON list instead of a table.
    """
    from dermaseg_monai.bundle.listing import as_json, as_table

    print(as_json() if json else as_table())


@typed
def pack(*bundles: str, output: str = "dist", all: bool = False, url: str | None = None) -> None:
    """Write bundles as archives that any web server can share, with lists of them.

    Args:
        *bundles: names in the collection, or folders of bundles, of a study's variants or of its runs.
        output: folder for the archives, model_info.json, SHA256SUMS and index.html.
        all: pack the whole collection and the variants of its studies.
        url: the address that the folder will have.
    """
    from dermaseg_monai.sharing.pack import all_bundles, pack

    if bool(bundles) == all:
        raise InputError("name the bundles to pack, or give --all for the whole collection.")
    for packed in pack(all_bundles() if all else bundles, output, url):
        print(f"{packed.path}  {packed.size:,} bytes, weights: {packed.weights}")


@typed
def verify(bundle: str, untrusted: bool = False) -> None:
    """Check a bundle's folder or archive; exits with 1 where a check fails.

    Args:
        bundle: its folder or zip.
        untrusted: screen its configs first, and build and load nothing unless they pass.
    """
    from dermaseg_monai.sharing.verify import as_table, verify

    logging.disable(logging.WARNING)
    checks = verify(bundle, untrusted)
    print(as_table(checks))
    if any(check.outcome == "FAIL" for check in checks):
        sys.exit(1)


@typed
def get(bundle: str, output: str = "bundles", version: str | None = None, **options: str) -> None:
    """Download a bundle, check it, and put it in place of an older one.

    Args:
        bundle: its name.
        output: folder of bundles that it goes into.
        version: of the bundle; the newest by default.
        **options: --from URL, the address of a folder that dermaseg pack wrote, or of its model_info.json.
    """
    from dermaseg_monai.sharing.install import install

    # "from" is a word of Python's own, so it cannot be the name of an argument
    url = options.pop("from", None)
    if url is None or options:
        unknown = f"there is no option --{next(iter(options))}; " if options else ""
        raise InputError(
            f"{unknown}write dermaseg get {bundle} --from URL, with the address of a list of bundles."
        )
    installed = install(bundle, url, output, version)
    replaced = f" (was {installed.replaced})" if installed.replaced else ""
    print(f"{installed.path} is {installed.version} {f'now{replaced}' if installed.fetched else 'already'}")
    if installed.kept:
        print(f"files of the old folder had been added or changed: it is kept as {installed.kept}")
