#!/usr/bin/env bash
# Gradescope runs this once, when it builds the autograder's image. labctl is a single static file: nothing is installed.
set -euo pipefail
source=${AUTOGRADER:-/autograder}/source
chmod +x "$source/labctl" "$source/run_autograder"
"$source/labctl" version
"$source/labctl" validate "$source/lab"
