#!/bin/sh
# Makes every weight file of bundles/avatar-256, with fixed seeds and numbers of steps: thirteen hours on one core. DEVICE=cuda
# trains on a GPU, side by side. What is done is not done again, and a run that was broken off goes on.
set -eu
cd "$(dirname "$0")/.."
device="${DEVICE:-cpu}"
python="${PYTHON:-.venv/bin/python}"
bundle=bundles/avatar-256
cores="$(nproc)"
running=""
if [ "$device" = cpu ]; then ahead=0; else ahead=3; fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
mkdir -p runs/log

render() { "$python" -m training.renderer.dataset --workers "$cores" "$@"; }

# Starts a command, its output in runs/log/NAME.log; on a CPU one at a time.
start() {
    log="runs/log/$1.log"
    shift
    "$@" >"$log" 2>&1 &
    if [ "$device" = cpu ]; then wait $!; else running="$running $!"; fi
}
train() {
    network="$1"
    shift
    start "$network" "$python" -m "training.$network" --out "runs/$network" --bundle "$bundle" --device "$device" --workers "$ahead" "$@"
}
pictures() {
    "$python" -m training.generator --data runs/portraits --out runs/generator --device "$device"
    "$python" -m training.encoder --data runs/portraits --out runs/encoder --device "$device"
    "$python" -m training.hyperstyle --data runs/portraits --out runs/hyperstyle --device "$device" --images 10000 --batch 8
}

render --out runs/portraits --count 32000 --seed 1 --pose 0.7
start pictures pictures
render --out runs/dataset --count 16000 --seed 1
train parsing --data runs/dataset
train attributes --data runs/dataset
train perceptual --data runs/dataset
train clip --data runs/dataset
render --out runs/identities --identities 600 --per-identity 16 --seed 12
train identity --data runs/identities --portraits runs/dataset
render --out runs/free --count 3000 --seed 11 --framing free
train landmarks --data runs/dataset --free runs/free
train detector --data runs/dataset --free runs/free
for process in $running; do wait "$process"; done

"$python" -m training.pack --bundle "$bundle"
.venv/bin/seamline styleclip prepare --bundle avatar-256 --samples 8 --beta 0.12 --longest-step 5
"$python" -m training.directions
train latent_transformer
for process in $running; do wait "$process"; done
"$python" -m training.edits
"$python" -m training.styleclip
"$python" -m training.evaluate
