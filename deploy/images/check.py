"""Builds one image without a container engine and starts its service as a cluster would.

    python deploy/images/check.py [target]        # as root; target: aligner (default), inverter, ...

buildah runs the Dockerfile with chroot isolation; as there may be no registry to pull from, the base image is made by
debootstrap, of the Debian release and with the Python version of the real one. The service then runs from the built
file system as the image's user, with that file system read-only, and must answer SERVING. What is not shown is what
only the real base can show: that its digest is right. Needs root, Linux and Debian's buildah and debootstrap, 5 GB
below --work, and what pip and debootstrap load.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BASE = "localhost/debian-python:check"
TOOLS = ("buildah", "debootstrap", "unshare", "chroot")
PACKAGES = "python3,python3-venv,ca-certificates"
START_SECONDS = 120.0
STOP_SECONDS = 60.0
FORBIDDEN = ("gcc", "cc", "g++", "clang", "make")
"""Programs that a running service has no use for."""


class Buildah:
    """buildah with its storage and caches in one directory, so that nothing is left elsewhere."""

    def __init__(self, work: Path) -> None:
        (work / "tmp").mkdir(exist_ok=True)
        self._environment = {**os.environ, "TMPDIR": str(work / "tmp")}
        self._command = ["buildah", "--storage-driver=overlay", f"--root={work}/storage", f"--runroot={work}/run"]

    def __call__(self, *arguments: str) -> str:
        """Runs one command and returns what it printed."""
        command = [*self._command, *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=self._environment)
        return done.stdout.strip()

    def show(self, *arguments: str) -> None:
        """Runs one command whose log is to be seen as it comes."""
        subprocess.run([*self._command, *arguments], check=True, env=self._environment)


def make_base(buildah: Buildah, work: Path) -> None:
    """The base image: Debian with Python, as the real one has it; kept, or no layer above it could be."""
    if buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        return
    filesystem = work / "base"
    if not (filesystem / "usr/bin/python3.11").exists():
        shutil.rmtree(filesystem, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", filesystem], check=True
        )
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, str(filesystem), "/")
    buildah("commit", "--quiet", "--rm", container, BASE)


def pip_settings(work: Path) -> list[str]:
    """Volumes that let pip in the build find packages as pip on this machine does."""
    names = {"PIP_CERT": "cert", "PIP_FIND_LINKS": "find-links", "PIP_INDEX_URL": "index-url"}
    given = {key: os.environ[name] for name, key in names.items() if os.environ.get(name)}
    config = work / "pip.conf"
    config.write_text("\n".join(["[global]", *(f"{key} = {value}" for key, value in given.items())]) + "\n")
    paths = [value for key, value in given.items() if key != "index-url" and Path(value).exists()]
    return [f"{config}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in paths)]


def build(buildah: Buildah, target: str, build_arguments: list[str], volumes: list[str]) -> str:
    """Builds one target of the Dockerfile and returns the image's name."""
    image = f"localhost/seamline-{target}:check"
    options = [f"--build-arg={each}" for each in (f"BASE={BASE}", *build_arguments)]
    options += [f"--volume={each}" for each in volumes]
    buildah.show(
        "build", "--isolation=chroot", "--layers", "--pull-never", *options,
        f"--file={ROOT}/deploy/images/Dockerfile", f"--target={target}", f"--tag={image}", str(ROOT),
    )  # fmt: skip
    return image


def check_filesystem(mount: Path, config: dict[str, Any]) -> None:
    """What can be read off an image.

    Raises:
        SystemExit: it would run as root, or carries a compiler on its path, or has no labels.
    """
    user = config["User"].partition(":")[0]
    if not user.isdigit() or user == "0":
        raise SystemExit(f"the image runs as {config['User']!r}; a number other than 0 is wanted")
    path = environment(config)["PATH"].split(":")
    if found := [f"{place}/{name}" for place in path for name in FORBIDDEN if (mount / f"./{place}/{name}").exists()]:
        raise SystemExit(f"the image has {', '.join(found)}")
    for label in ("title", "description", "version", "revision", "licenses", "base.name"):
        if not config["Labels"].get(f"org.opencontainers.image.{label}"):
            raise SystemExit(f"the image has no label org.opencontainers.image.{label}")


def environment(config: dict[str, Any]) -> dict[str, str]:
    """The image's own environment."""
    return dict(each.split("=", 1) for each in config["Env"])


def contained(mount: Path, config: dict[str, Any], variables: dict[str, str], command: list[str]) -> list[str]:
    """A command line that runs `command` as the image's user, on its file system, read-only but for /tmp."""
    inside = ["env", "-i", *(f"{name}={value}" for name, value in {**environment(config), **variables}.items())]
    where = shlex.quote(str(mount))
    script = (
        f"mount --bind {where} {where} && mount -o remount,bind,ro {where} && mount -t tmpfs tmpfs {where}/tmp"
        f" && mount -t proc proc {where}/proc && mount --bind /dev/urandom {where}/dev/urandom"
        f" && exec chroot --userspec={config['User']} {where} {shlex.join([*inside, *command])}"
    )
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]


def check_service(mount: Path, config: dict[str, Any]) -> None:
    """Starts the service, waits until it serves, tells it to stop.

    Raises:
        SystemExit: it ended, or does not serve in time, or can write to its own file system, or does not end well.
    """
    port = free_port()
    variables = {"SEAMLINE_STORE": "file:///tmp/store", "SEAMLINE_PORT": str(port), "SEAMLINE_METRICS_PORT": "0"}
    variables |= {f"SEAMLINE_{stage}": "127.0.0.1:9" for stage in ("ALIGNER", "INVERTER", "STITCHER", "METRICS")}
    touch = contained(mount, config, {}, ["touch", "/app/written"])
    if subprocess.run(touch, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        raise SystemExit("the root file system is not read-only: this check would show nothing")
    service = subprocess.Popen(contained(mount, config, variables, config["Entrypoint"]))
    try:
        await_serving(service, contained(mount, config, variables, ["python", "/app/probe.py"]))
    finally:
        status = stop(service)
    if status:
        raise SystemExit(f"told to stop, the service ended with status {status}")


def stop(unshare: "subprocess.Popen[bytes]") -> int:
    """SIGTERM to what unshare runs, as it does not pass it on; the exit status, 1 if there has to be SIGKILL."""
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    try:
        return unshare.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        unshare.kill()  # --kill-child: what it runs goes with it
        return unshare.wait() or 1


def await_serving(service: "subprocess.Popen[bytes]", probe: list[str]) -> None:
    """Returns when the probe succeeds."""
    start = time.monotonic()
    while True:
        asked = subprocess.run(probe, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
        if asked.returncode == 0:
            print(f"{asked.stdout.strip()} after {seconds:.1f} s")
            return
        if service.poll() is not None:
            raise SystemExit(f"the service ended with status {service.returncode}")
        if seconds > START_SECONDS:
            raise SystemExit(f"the service does not serve after {seconds:.0f} s: {asked.stdout}{asked.stderr}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return probing.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="aligner")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "images-check", help="kept: the base and layers")
    parser.add_argument("--build-arg", action="append", default=[], help="as buildah's; repeatable")
    options = parser.parse_args()
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        raise SystemExit(f"{', '.join(missing)} missing: apt-get install --no-install-recommends buildah debootstrap")
    if os.geteuid() != 0:
        raise SystemExit("chroot isolation and the mounts need root")
    options.work.mkdir(parents=True, exist_ok=True)
    buildah = Buildah(options.work.resolve())
    make_base(buildah, options.work.resolve())
    image = build(buildah, options.target, options.build_arg, pip_settings(options.work.resolve()))
    container = buildah("from", "--pull-never", image)
    try:
        config = json.loads(buildah("inspect", "--type=image", image))["OCIv1"]["config"]
        mount = Path(buildah("mount", container))
        check_filesystem(mount, config)
        check_service(mount, config)
    finally:
        with suppress(subprocess.CalledProcessError):
            buildah("rm", container)
    print(f"{options.target}: built and serving as {config['User']} on a read-only file system")


if __name__ == "__main__":
    sys.exit(main())
