#!/usr/bin/env bash
# Sets up .venv and the workload environments in it. Called by the Makefile; safe to interrupt and run again.
#   tools/setup.sh system | platform EXTRAS | environment NAME
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
say() { printf '  %s\n' "$*" >&2; }
die() { printf 'ringfence: %s\n' "$*" >&2; exit 1; }

system_packages() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or newer is needed as \`$python\`. Install it, or name one: make PYTHON=/path/to/python3.11 ..."
  local missing=()
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  "$python" -c 'import ctypes; ctypes.CDLL("libseccomp.so.2")' 2>/dev/null || missing+=(libseccomp2)
  [ ${#missing[@]} -eq 0 ] && return
  local install="apt-get install -y ${missing[*]}"
  say "These system packages are needed: ${missing[*]}"
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -q >&2 && $install >&2
  elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
    sudo apt-get update -q >&2 && sudo $install >&2
  else
    die "this account may not install them; run: sudo $install"
  fi
}

pip_in() { "$1/bin/python" -m pip --disable-pip-version-check -q --no-input "${@:2}" 2> >(grep -v '^WARNING: Location' >&2); }

make_venv() { [ -x "$1/bin/python" ] && "$1/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$1"; }

platform() {
  say "installing the platform ($1) into .venv"
  # --clear would remove the workload environments below it, so a broken .venv is refreshed in place.
  [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv .venv
  pip_in .venv install -c constraints.txt -e ".[$1]"
  case $1 in *dev*)  # the real OPA, which the tests ask too; it declares a later Python than it needs
    pip_in .venv install --no-deps --ignore-requires-python opa-golib-python-bindings==0.4.4 ;;
  esac
}

# The CPU build of torch where there is no GPU: the plain index serves gigabytes of CUDA packages on Linux.
install_torch() {
  local venv=$1 pin cpu_index=https://download.pytorch.org/whl/cpu
  pin=$(grep '^torch==' environments/sb3.txt)
  if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    pip_in "$venv" install -c constraints.txt "$pin"
  elif "$venv/bin/python" -m pip install -q --dry-run --no-deps --report - "$pin" 2>/dev/null | grep -Eq '"url": "[^"]*(%2B|\+)cpu'; then
    pip_in "$venv" install -c constraints.txt "$pin"
  else
    pip_in "$venv" install --no-deps --index-url "$cpu_index" "$pin"
    pip_in "$venv" install -c constraints.txt filelock typing-extensions sympy networkx jinja2 fsspec
  fi
}

environment() {
  local venv=.venv/envs/$1
  say "installing the workload environment '$1' into $venv"
  mkdir -p .venv/envs
  make_venv "$venv"
  if grep -q '^torch==' "environments/$1.txt"; then install_torch "$venv"; fi
  pip_in "$venv" install -c constraints.txt -r "environments/$1.txt"
}

case ${1:-} in
  system) system_packages ;;
  platform) platform "$2" ;;
  environment) environment "$2" ;;
  *) die "usage: tools/setup.sh system | platform EXTRAS | environment NAME" ;;
esac
