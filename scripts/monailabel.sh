#!/usr/bin/env bash
# Serve bundles to annotation clients by MONAI Label.
#
#   scripts/monailabel.sh STUDIES_DIR [BUNDLE...] [--app DIR] [--host 127.0.0.1] [--port 8000]
#
# The first call makes a virtual environment (a few minutes, 8 GB) in DERMASEG_LABEL_VENV, .venv-monailabel by
# default; with DERMASEG_LABEL_SETUP=only nothing else is done. PYTHON chooses the interpreter, 3.10 or 3.11.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
constraints=$root/scripts/monailabel-constraints.txt
venv=${DERMASEG_LABEL_VENV:-$root/.venv-monailabel}
python=${PYTHON:-python3}

if [ "$constraints" -nt "$venv/installed" ] || [ "$root/pyproject.toml" -nt "$venv/installed" ]; then
    if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))'; then
        echo "error: MONAI Label 0.8.5 needs Python 3.10 or 3.11, but $python is another; set PYTHON." >&2
        exit 1
    fi
    echo "making the environment of MONAI Label in $venv: a few minutes, 8 GB"
    "$python" -m venv "$venv"
    # torch and torchvision together, so that both come from one build
    "$venv/bin/python" -m pip install --quiet -c "$constraints" torch torchvision monailabel -e "$root"
    touch "$venv/installed"
fi
[ "${DERMASEG_LABEL_SETUP:-}" = only ] && exit 0
[ $# -gt 0 ] || set -- --help
exec "$venv/bin/python" -m dermaseg_monai.label "$@"
