#!/bin/sh
# Makes every weight file of bundles/avatar-256; runs end by the clock, so weights differ a little from run to run. Some three hours on one core; what is done is not done
# again, and a run that was broken off goes on.
set -eu
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
python="${PYTHON:-.venv/bin/python}"
bundle=bundles/avatar-256
workers="$(nproc)"

render() { "$python" -m training.renderer.dataset --workers "$workers" "$@"; }
train() { network="$1"; shift; "$python" -m "training.$network" --out "runs/$network" --bundle "$bundle" "$@"; }

render --out runs/portraits --count 16000 --seed 1 --pose 0.7
render --out runs/dataset --count 16000 --seed 1
render --out runs/free --count 3000 --seed 11 --framing free
render --out runs/identities --identities 600 --per-identity 16 --seed 12

train parsing --data runs/dataset --minutes 16
train landmarks --data runs/dataset --free runs/free --minutes 7
train detector --data runs/dataset --free runs/free --minutes 3.5
train identity --data runs/identities --portraits runs/dataset --minutes 8
train attributes --data runs/dataset --minutes 7
train perceptual --data runs/dataset --minutes 2

"$python" -m training.generator --data runs/portraits --out runs/generator
"$python" -m training.encoder --data runs/portraits --out runs/encoder
"$python" -m training.pack --bundle "$bundle"
"$python" -m training.directions
"$python" -m training.evaluate
