"""The Dockerfile describes what the manifests run."""

import fnmatch
import re
import shlex

import pytest

from seamline.deployment import ALLOCATOR, WAIT_POLICY
from tests.unit.deploy.manifests import OVERLAYS, ROOT, SERVICES, containers, deployment, of_kind, overlay

DOCKERFILE = (ROOT / "deploy" / "images" / "Dockerfile").read_text()
LINES = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()


def stages():
    """The lines of every stage by its name."""
    found = {}
    for line in LINES:
        if line.startswith("FROM "):
            found[line.split()[-1]] = lines = []
        elif found and line and not line.startswith("#"):
            lines.append(line)
    return found


def instructions(stage, name):
    return [line.split(maxsplit=1)[1] for line in stages()[stage] if line.split()[0] == name]


def environment():
    return dict(each.split("=", 1) for line in instructions("runtime", "ENV") for each in shlex.split(line))


def is_sent(path):
    """Whether .dockerignore leaves a path in the build; its last line that matches decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parents = [path, *("/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1))]
        names = [*parents, *(part for part in path.split("/") if line.lstrip("!").startswith("**/"))]
        if line and not line.startswith("#") and any(fnmatch.fnmatch(name, pattern) for name in names):
            sent = line.startswith("!")
    return sent


def test_there_is_an_image_for_every_service():
    built = [name for name, lines in stages().items() if any(line.startswith("ENTRYPOINT") for line in lines)]
    assert sorted(built) == sorted(SERVICES)
    for service in SERVICES:
        assert instructions(service, "ENTRYPOINT") == [f'["python", "-m", "seamline_{service}"]']
        (copied,) = instructions(service, "COPY")
        assert copied == f"--from=sources /services/seamline_{service} /app/seamline_{service}"
        assert (ROOT / "services" / service / f"seamline_{service}" / "__main__.py").exists()


def test_the_base_is_pinned_and_no_stage_has_another():
    (base,) = (line for line in LINES if line.startswith("ARG BASE="))
    assert re.search(r"/python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}$", base)
    froms = [line.split()[1] for line in LINES if line.startswith("FROM ")]
    assert set(froms) == {"${BASE}", "libraries", "runtime"}


def test_images_run_as_the_user_of_the_pods():
    assert instructions("runtime", "USER") == ["65532:65532"]
    assert all(not instructions(service, "USER") for service in SERVICES)


def test_images_allocate_memory_as_local_services_do():
    assert environment()["GLIBC_TUNABLES"] == ALLOCATOR
    assert environment()["OMP_WAIT_POLICY"] == WAIT_POLICY


def test_nothing_is_written_where_nothing_can_be():
    variables = environment()
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert variables["HOME"] == "/tmp"
    assert variables["XDG_CACHE_HOME"].startswith("/tmp/")


@pytest.mark.parametrize("service", SERVICES)
def test_images_carry_labels(service):
    labels = " ".join(instructions("runtime", "LABEL") + instructions(service, "LABEL"))
    for name in ("title", "description", "version", "revision", "licenses", "vendor", "base.name"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_what_is_copied_is_sent_and_nothing_private_is():
    lines = instructions("libraries", "COPY") + instructions("sources", "COPY")
    copied = [path for line in lines for path in line.split()]
    sources = [path for path in copied if not path.startswith(("/", ".")) and (ROOT / path).exists()]
    assert len(sources) >= 6
    assert all(is_sent(path) for path in sources)
    assert is_sent("seamline/report/report.html.j2")
    assert not is_sent(".git/config")
    assert not is_sent("deploy/k8s/base/namespace.yaml")
    assert not is_sent("seamline/__pycache__/x.pyc")
    assert not is_sent("services/editor/seamline_editor.egg-info/PKG-INFO")
    assert not is_sent("bundles/ffhq-1024/generator.safetensors")


@pytest.mark.cluster
@pytest.mark.parametrize("name", OVERLAYS)
def test_manifests_run_images_that_are_built(name):
    manifests = overlay(name)
    for workload in of_kind(manifests, "Deployment").values():
        for container in containers(workload):
            image = container["image"].rsplit("/", 1)[-1].split(":")[0]
            assert image == "tritonserver" or image.removeprefix("seamline-") in SERVICES
    for service in SERVICES:
        assert f"seamline-{service}:" in str(deployment(manifests, service))
