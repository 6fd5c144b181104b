#!/usr/bin/env bash
# Installs the real servers and clients the end-to-end tests talk to, into .servers/ at the
# repository's root (ignored by git). Runs again only when one of the manifests has changed.
#
# Needs: Node 20 or newer with npm (which brings Node 22 for oidc-provider), Python 3.11 or newer
# with venv. ../../test.sh installs those first where it may.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
target="$root/.servers"

main() {
  check_tools
  mkdir -p "$target"
  # Two test runs may start at once: the second waits, then finds the stamp.
  exec 9>"$target/install.lock"
  flock 9
  install_part node install_node package.json package-lock.json .npmrc
  install_part python install_python requirements.txt constraints.txt
  # Node looks for modules from the script's own directory upwards.
  ln -sfn "$target/npm/node_modules" "$here/node_modules"
  ln -sfn "$target/npm/node_modules" "$here/../conformance/node_modules"
}

check_tools() {
  need npm "Node 20 or newer with npm (Debian: apt-get install nodejs npm)"
  need python3 "Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
  need flock "flock (Debian: apt-get install util-linux)"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "python3 is $(python3 --version), but Python 3.11 or newer is needed"
  python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "python3 cannot make virtual environments (Debian: apt-get install python3-venv)"
}

need() {
  command -v "$1" >/dev/null || fail "$1 is missing: install $2"
}

# install_part NAME FUNCTION MANIFEST…: calls FUNCTION unless NAME is stamped with this content.
install_part() {
  local name="$1" install="$2" stamp want
  shift 2
  stamp="$target/$name.stamp"
  want="$(cd "$here" && cat "$@" | sha256sum) $root"
  if [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ]; then
    return
  fi
  echo "installing the $name part of the test servers" >&2
  rm -f "$stamp"
  "$install"
  echo "$want" >"$stamp"
}

install_node() {
  local log="$target/npm.log"
  mkdir -p "$target/npm"
  (cd "$here" && cp package.json package-lock.json .npmrc "$target/npm/")
  (cd "$target/npm" && npm ci --no-audit --no-fund </dev/null >"$log" 2>&1) ||
    fail_with "$log" "npm could not install oidc-provider and the MCP SDK"
  "$target/npm/node_modules/.bin/node" --version >>"$log" 2>&1 ||
    fail_with "$log" "npm installed, but the Node 22 it brought does not start"
}

install_python() {
  local log="$target/pip.log"
  rm -rf "$target/venv"
  python3 -m venv "$target/venv" >"$log" 2>&1 ||
    fail_with "$log" "python3 could not make a virtual environment"
  "$target/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    -r "$here/requirements.txt" -c "$here/constraints.txt" </dev/null >>"$log" 2>&1 ||
    fail_with "$log" "pip could not install FastMCP, the MCP SDK, django-oauth-toolkit, authgent-server, pproxy and aiosmtpd"
}

fail_with() {
  tail -n 30 "$1" >&2
  fail "$2 (whole log: $1)"
}

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

main
