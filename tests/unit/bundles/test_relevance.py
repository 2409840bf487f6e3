"""What text edits need, written into a bundle and read from it."""

import math
import tomllib
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from seamline.bundles import Bundle, NetworkSource, Relevance, load_bundle, put_network, put_relevance
from seamline.bundles.manifest import format_manifest, parse_manifest, read_manifest
from seamline.bundles.relevance import convolution_channels
from seamline.errors import DigestMismatch, InvalidInput, Precondition
from tests.fakes.bundle import tiny_bundle


@pytest.fixture
def plain(tmp_path) -> Bundle:
    return tiny_bundle(tmp_path)


def relevance(channels: int) -> Relevance:
    rows = F.normalize(torch.randn(channels, 8), dim=1)
    return Relevance(
        embeddings=rows, mean=torch.randn(channels), std=torch.rand(channels), beta=0.15, longest_step=6.5
    )


def put(plain: Bundle, extra: int = 0) -> Relevance:
    written = relevance(sum(convolution_channels(plain.generator())) + extra)
    put_relevance(plain.directory, written, "tests")
    return written


def opened(plain: Bundle) -> Bundle:
    return load_bundle(plain.name, plain.directory.parent)


def test_it_reads_back(plain: Bundle) -> None:
    written, read = put(plain), opened(plain).relevance
    assert (read.beta, read.longest_step) == (written.beta, written.longest_step)
    torch.testing.assert_close(read.embeddings, written.embeddings, atol=1e-3, rtol=0)  # stored in float16
    torch.testing.assert_close((read.mean, read.std), (written.mean, written.std), atol=0, rtol=0)


def test_one_of_another_clip_is_refused(plain: Bundle) -> None:
    put(plain)
    entry = plain.manifest.networks["clip"]
    other = plain.module("clip")
    torch.nn.init.normal_(other.model.visual_projection.weight)
    source = NetworkSource(module=other, config=entry.config, licence="CC0-1.0", source="tests")
    put_network(plain.directory, "clip", source)
    with pytest.raises(Precondition, match="prepared for text edits with another clip: run seamline styleclip"):
        _ = opened(plain).relevance


def test_one_that_does_not_fit_is_refused(plain: Bundle) -> None:
    put(plain, extra=1)
    with pytest.raises(InvalidInput, match="tensor relevance has shape"):
        _ = opened(plain).relevance


def test_a_changed_file_is_refused(plain: Bundle) -> None:
    put(plain)
    path = plain.directory / "relevance.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DigestMismatch, match=r"relevance\.safetensors"):
        _ = opened(plain).relevance


def test_the_manifest_keeps_its_entry(plain: Bundle) -> None:
    put(plain)
    manifest, content = read_manifest(plain.directory)
    assert manifest.relevance is not None
    assert parse_manifest(tomllib.loads(format_manifest(manifest))) == manifest
    with pytest.raises(ValueError, match="beta must be from 0"):
        parse_manifest(tomllib.loads(content.decode().replace("beta = 0.15", "beta = 1.5")))
    for wrong in ("0", "-1.0", "nan"):
        with pytest.raises(ValueError, match="longest_step must be above 0"):
            parse_manifest(tomllib.loads(content.decode().replace("longest_step = 6.5", f"longest_step = {wrong}")))


def test_a_manifest_that_names_no_longest_step_has_none(plain: Bundle) -> None:
    put(plain)
    manifest, content = read_manifest(plain.directory)
    assert manifest.relevance is not None
    without = parse_manifest(tomllib.loads(content.decode().replace("longest_step = 6.5\n", "")))
    assert without.relevance == replace(manifest.relevance, longest_step=math.inf)
    assert parse_manifest(tomllib.loads(format_manifest(without))) == without
