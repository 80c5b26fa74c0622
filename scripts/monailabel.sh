#!/usr/bin/env bash
# Serve bundles to annotation clients by MONAI Label.
#
#   scripts/monailabel.sh STUDIES_DIR [BUNDLE...] [--app DIR] [--host 127.0.0.1] [--port 8000]
#
# The first call makes a virtual environment (a few minutes, 8 GB) in DERMASEG_LABEL_VENV, .venv-monailabel by
# default; with DERMASEG_LABEL_SETUP=only nothing else is done. PYTHON chooses the interpreter, 3.10 or 3.11.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${DERMASEG_LABEL_VENV:-$root/.venv-monailabel}
python=${PYTHON:-python3}
constraints=$root/scripts/monailabel-constraints.txt
requirements=$root/scripts/monailabel-requirements.txt

made=yes
for file in "$constraints" "$requirements" "$root/pyproject.toml"; do
    [ "$file" -nt "$venv/installed" ] && made=no
done
if [ $made = no ]; then
    if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))'; then
        echo "error: MONAI Label 0.8.5 needs Python 3.10 or 3.11, but $python is another; set PYTHON." >&2
        exit 1
    fi
    echo "making the environment of MONAI Label in $venv: a few minutes, 8 GB"
    "$python" -m venv "$venv"
    pip=("$venv/bin/python" -m pip install --quiet --no-compile -c "$constraints")
    # torch and torchvision together, so that both come from one build
    "${pip[@]}" -r "$requirements" torch torchvision -e "$root"
    "${pip[@]}" --no-deps monailabel pydicom-seg
    touch "$venv/installed"
fi
[ "${DERMASEG_LABEL_SETUP:-}" = only ] && exit 0
[ $# -gt 0 ] || set -- --help
exec "$venv/bin/python" -m dermaseg_monai.monai_label "$@"
