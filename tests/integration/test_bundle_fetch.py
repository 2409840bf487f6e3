"""A bundle from checkpoints in their authors' formats, fetched by the real command over a bad connection."""

import hashlib
import os
import signal
import subprocess
import sys
from threading import Event

import numpy as np
import pytest
import torch

from seamline.bundles import load_bundle
from seamline.networks import Generator, GeneratorConfig
from tests.fakes.file_server import Served, serving
from tests.fakes.foreign import as_pickle, persistent_generator

NAME = "drawn-64"
CONFIG = GeneratorConfig(
    resolution=64, z_dim=64, w_dim=64, mapping_layers=2, channel_base=4096, channel_max=64
)  # fmt: skip
COMMAND = [sys.executable, "-c", "from seamline.cli import main; main()", "bundles"]


@pytest.fixture(scope="module")
def generator():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = Generator(CONFIG).eval()
        made.mapping.w_avg.normal_()
    return made


@pytest.fixture(scope="module")
def files(generator, tmp_path_factory):
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    path = tmp_path_factory.mktemp("direction") / "smile.npy"
    np.save(path, np.random.default_rng(1).normal(size=(1, CONFIG.num_ws, CONFIG.w_dim)).astype(np.float32))
    return {"ffhq.pkl": as_pickle({"G_ema": persistent_generator(state)}), "smile.npy": path.read_bytes()}


@pytest.fixture
def bundles(files, tmp_path):
    digest = hashlib.sha256(files["ffhq.pkl"]).hexdigest()
    size = len(files["ffhq.pkl"])
    directory = tmp_path / "bundles" / NAME
    directory.mkdir(parents=True)
    terms = 'page = "https://example.org"\nlicence = "CC0-1.0"\nlicence_url = "https://example.org/LICENSE"'
    (directory / "bundle.toml").write_text(f'''
name = "{NAME}"
version = 1
resolution = 64

[sources.generator]
format = "stylegan2-ada"
{terms}
files = [{{ name = "ffhq.pkl", size = {size}, sha256 = "{digest}" }}]

[sources.directions]
format = "stit-directions"
{terms}
files = [{{ name = "smile.npy" }}]

[edits.smile]
description = "Smile"
min = -20.0
max = 20.0
attribute = "smile"
''')
    return directory.parent


@pytest.fixture
def environment(bundles, tmp_path):
    names = {"SEAMLINE_BUNDLES": str(bundles), "SEAMLINE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()} | names


def left(directory):
    return sorted(path.name for path in directory.iterdir())


def test_killed_twice_and_damaged_once_it_ends_with_a_bundle_that_draws(
    generator, files, bundles, environment, tmp_path
):
    third = len(files["ffhq.pkl"]) // 3
    served = Served(files=dict(files), cuts=[third, third], stall=Event())
    with serving(served):
        fetch = [*COMMAND, "fetch", NAME, "--accept-licence", "all", "--from", served.url]
        for _ in range(2):
            _killed_when_stalled(fetch, environment, tmp_path)
            assert left(bundles / NAME) == ["bundle.toml"]
        served.damaged = 1  # the digest tells, and the file is fetched once more from its beginning
        done = subprocess.run(fetch, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    starts = [asked for path, asked in served.asked if path == "ffhq.pkl"]
    assert starts[0] == starts[-1] == ""
    assert all(asked.startswith("bytes=") for asked in starts[1:-1])
    bundle = load_bundle(NAME, bundles)
    codes = torch.randn(1, CONFIG.num_ws, CONFIG.w_dim)
    with torch.no_grad():
        drawn = bundle.generator().eval().synthesis(codes)
        torch.testing.assert_close(drawn, generator.synthesis(codes), rtol=1e-4, atol=1e-4)
    assert set(bundle.directions) == {"smile"}
    assert not list((tmp_path / "cache" / "downloads").glob(f"{NAME}-*"))


def _killed_when_stalled(command, environment, tmp_path):
    """Run a command until what the server sent before it stalled is on the disk, and kill it."""
    before = _arrived(tmp_path)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pause = Event()
    while _arrived(tmp_path) == before and process.poll() is None:
        pause.wait(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def _arrived(tmp_path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.part"))


def test_without_acceptance_or_weights_one_line_says_what_to_do(bundles, environment):
    def told(*words: str) -> str:
        done = subprocess.run([*COMMAND[:-1], *words], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 2
        return done.stderr.strip().splitlines()[-1]

    assert told("bundles", "fetch", NAME).startswith("error: the licences of generator, directions have to be accepted")
    wanted = f"error: bundle {NAME} has no weights yet: run `seamline bundles fetch {NAME}`"
    assert told("edits", "--bundle", NAME) == wanted
