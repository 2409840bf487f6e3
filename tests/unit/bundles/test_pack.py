"""Packed bundles, and what is not one."""

import io
import tarfile

import pytest

from seamline.bundles import NetworkSource, load_bundle, put_network, write_bundle
from seamline.bundles.pack import pack, unpack
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition
from seamline.networks.registry import build

NAME, CONFIG = "one-64", {"width": 4}


@pytest.fixture
def bundle(tmp_path):
    directory = tmp_path / "bundles" / NAME
    write_bundle(directory, name=NAME, resolution=64)
    network = NetworkSource(module=build("parsing", {"width": 4}), config=CONFIG, licence="CC0-1.0", source="test")
    put_network(directory, "parsing", network)
    return directory


@pytest.fixture
def packed(bundle, tmp_path):
    pack(bundle, tmp_path / "one.tar")
    return tmp_path / "one.tar"


@pytest.fixture
def there(tmp_path):
    return tmp_path / "there"


def members(packed):
    with tarfile.open(packed) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]


def repacked(packed, changed, *, append=()):
    """The same file with every member passed through `changed`, and some more."""
    kept = members(packed)
    with tarfile.open(packed, "w:") as tar:
        for member, content in [*(changed(*each) for each in kept), *append]:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return packed


def same(member, content):
    return member, content


def entry(name, content=b"", **fields):
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def test_it_holds_plain_files_that_say_nothing_of_who_made_them(packed):
    for member, _ in members(packed):
        assert member.isreg()
        assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
    assert [member.name for member, _ in members(packed)] == ["one-64/bundle.toml", "one-64/parsing.safetensors"]


def test_a_bundle_of_ones_own_comes_back_as_it_was(bundle, packed, there):
    assert unpack(packed, there) == there / NAME
    assert sorted(path.name for path in (there / NAME).iterdir()) == ["bundle.toml", "parsing.safetensors"]
    assert load_bundle(NAME, there).digest == load_bundle(NAME, bundle.parent).digest
    assert load_bundle(NAME, there).module("parsing") is not None


def test_a_damaged_bundle_is_not_packed(bundle, tmp_path):
    path = bundle / "parsing.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DigestMismatch, match=r"parsing\.safetensors"):
        pack(bundle, tmp_path / "two.tar")
    path.unlink()
    with pytest.raises(NotFound, match=r"parsing\.safetensors"):
        pack(bundle, tmp_path / "two.tar")
    assert not (tmp_path / "two.tar").exists()


def test_a_place_that_cannot_be_written_is_named(bundle, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        pack(bundle, tmp_path / "file" / "two.tar")


HOSTILE = {
    "an absolute path": entry("/etc/cron.d/x", b"x"),
    "a way out": entry("one-64/../../x", b"x"),
    "a way out in the name of the directory": entry("../x", b"x"),
    "a link": entry("one-64/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": entry("one-64/link", type=tarfile.LNKTYPE, linkname="one-64/bundle.toml"),
    "a device": entry("one-64/null", type=tarfile.CHRTYPE),
    "a pipe": entry("one-64/pipe", type=tarfile.FIFOTYPE),
    "a directory": entry("one-64/folder", type=tarfile.DIRTYPE),
    "a second directory": entry("two-64/x", b"x"),
    "a file that the manifest does not name": entry("one-64/extra.safetensors", b"x"),
    "a hidden file": entry("one-64/.bashrc", b"x"),
    "a file twice": entry("one-64/bundle.toml", b"x"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_anything_else_is_refused_and_nothing_of_it_stays(packed, there, what):
    repacked(packed, same, append=[HOSTILE[what]])
    with pytest.raises(InvalidInput, match=r"one\.tar: .*; give a file that `seamline bundles pack` wrote"):
        unpack(packed, there)
    assert not there.exists() or not list(there.rglob("*"))
    assert not (packed.parent / "x").exists()


def test_damaged_contents_are_refused(packed, there):
    def damaged(member, content):
        return member, content[:-1] + b"?" if member.name.endswith(".safetensors") else content

    with pytest.raises(DigestMismatch, match="is damaged; copy the file again"):
        unpack(repacked(packed, damaged), there)
    assert not list(there.rglob("*"))


def test_a_size_that_the_manifest_does_not_give_is_refused(packed, there):
    def longer(member, content):
        return member, content + b"?" if member.name.endswith(".safetensors") else content

    with pytest.raises(InvalidInput, match="its manifest says"):
        unpack(repacked(packed, longer), there)


def test_a_manifest_without_end_is_not_read(packed, there, monkeypatch):
    monkeypatch.setattr("seamline.bundles.pack.LARGEST_MANIFEST", 100)
    with pytest.raises(InvalidInput, match="at most 100 are read"):
        unpack(packed, there)


def test_a_manifest_of_another_name_is_refused(packed, there):
    def renamed(member, content):
        return member, content.replace(b"one-64", b"two-64")

    with pytest.raises(InvalidInput, match=r"holds the directory 'one-64', and its bundle\.toml says 'two-64'"):
        unpack(repacked(packed, renamed), there)


@pytest.mark.parametrize("kept", [0, 100, 700, 5000, -1600])
def test_a_file_that_is_cut_off_is_refused(packed, there, kept):
    packed.write_bytes(packed.read_bytes()[:kept])
    with pytest.raises((InvalidInput, DigestMismatch), match=r"one\.tar"):
        unpack(packed, there)
    assert not there.exists() or not list(there.rglob("*"))


def test_a_compressed_file_is_refused(bundle, tmp_path, there):
    with tarfile.open(tmp_path / "one.tgz", "w:gz") as tar:
        tar.add(bundle, NAME)
    with pytest.raises(InvalidInput, match="is no tar file"):
        unpack(tmp_path / "one.tgz", there)
    with pytest.raises(NotFound, match=r"two\.tar"):
        unpack(tmp_path / "two.tar", there)


def test_another_bundle_of_the_same_name_is_left_alone(bundle, packed):
    manifest = bundle / "bundle.toml"
    manifest.write_text(manifest.read_text().replace("version = 1", "version = 2"))
    before = manifest.read_bytes()
    with pytest.raises(Precondition, match="another bundle one-64 is in"):
        unpack(packed, bundle.parent)
    assert manifest.read_bytes() == before
    assert sorted(path.name for path in bundle.iterdir()) == ["bundle.toml", "parsing.safetensors"]
