#!/bin/sh
# Prints the oldest and the newest supported Python on this machine, a path a line, but for the default one, which the
# tests run with anyway: what its version hides (a method that came later, a module that went) fails in another.
set -u
oldest=11 # minor version, as requires-python in pyproject.toml
default=$("${PYTHON:-python3}" -c 'import sys; print(sys.version_info.minor)')
found=""
for minor in $(seq "$oldest" 30); do
    if [ "$minor" = "$default" ]; then
        found="$found default"
        continue
    fi
    for python in "$(command -v "python3.$minor")" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python; do
        # a shim of pyenv's may be there and not start; without ensurepip there is no environment to be made
        if [ -x "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            found="$found $python"
            break
        fi
    done
done
# shellcheck disable=SC2086
printf '%s\n' $found | sed -n '1p;$p' | grep -v '^default$' | uniq
