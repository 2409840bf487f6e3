"""Artifacts: keyed by their recipe, written part by part, resumed, raced, and never mixed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamline.errors import DigestMismatch, InvalidInput, NotFound, StoreUnavailable
from seamline.storage import Artifact, ArtifactWriter, Recipe, Store, open_store, put_object
from seamline.storage.layout import SHARED
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.stores import CorruptingStore, FailOnceStore, PassingStore, PausingStore

VIDEO = "ab" * 32
RECIPE = Recipe(video=VIDEO, stage="align", version=1, inputs={"video": VIDEO}, parameters={"sigma": 3.0, "name": "é"})
PARTS = {f"frames-{number:06d}": bytes([number]) * 500 for number in range(4)}
META = {"ranges": [[0, 32], [32, 40]], "size": 256}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def make(store: Store, parts: dict[str, bytes] = PARTS, recipe: Recipe = RECIPE) -> ArtifactRef:
    """What a stage does: return what is finished, resume what is not."""
    writer = ArtifactWriter(store, recipe)
    if ref := writer.finished():
        return ref
    for name, data in parts.items():
        if not writer.has_part(name):
            writer.put_part(name, data, {"bytes": len(data)})
    return writer.finish(META)


def test_an_artifact_reads_as_it_was_written(tmp_path: Path, store: Store) -> None:
    ref = make(store)
    artifact = Artifact.open(store, ref, stage="align")
    assert (artifact.ref, artifact.recipe, artifact.meta) == (ref, RECIPE, META)
    assert sorted(artifact.parts) == sorted(PARTS)
    for name, data in PARTS.items():
        assert artifact.read_part(name) == data
        assert artifact.part_meta(name) == {"bytes": 500}
        assert artifact.part_ref(name).uri.endswith(f"/{name}")
        artifact.fetch_part(name, tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == data


def test_a_part_may_come_from_a_file(tmp_path: Path, store: Store) -> None:
    (tmp_path / "edited.mp4").write_bytes(b"video")
    writer = ArtifactWriter(store, RECIPE)
    writer.put_part("edited.mp4", tmp_path / "edited.mp4")
    artifact = Artifact.open(store, writer.finish({}), stage="align")
    assert artifact.read_part("edited.mp4") == b"video"
    assert artifact.parts["edited.mp4"]["bytes"] == 5


def test_a_second_call_writes_nothing(store: Store) -> None:
    ref = make(store)
    counting = PassingStore(store)
    assert make(counting) == ref
    assert counting.calls["put"] == counting.calls["put_file"] == 0


@pytest.mark.parametrize("dies_at", ["parts/", "sidecars/", "manifests/"])
def test_whoever_comes_next_goes_on_where_a_writer_died(store: Store, dies_at: str) -> None:
    fails = FailOnceStore(store, "put", dies_at)
    with pytest.raises(StoreUnavailable):
        make(fails)
    assert ArtifactWriter(store, RECIPE).finished() is None
    counting = PassingStore(store)
    ref = make(counting)
    written = {"parts/": 4, "sidecars/": 4, "manifests/": 0}[dies_at]
    assert counting.calls["put"] == 2 * written + 1
    # The resumed artifact is, to the byte, the one that an undisturbed writer makes.
    assert ref.sha256 == make(open_store(store.uri("a").removesuffix("a") + "other")).sha256


def test_a_resumed_writer_finishes_with_every_part_whether_it_asked_or_not(store: Store) -> None:
    first = ArtifactWriter(store, RECIPE)
    for name, data in PARTS.items():
        first.put_part(name, data)
    second = ArtifactWriter(store, RECIPE)
    assert second.read_part("frames-000002") == PARTS["frames-000002"]
    assert sorted(Artifact.open(store, second.finish({}), "align").parts) == sorted(PARTS)


def test_checkpoints_stay_out_of_the_manifest(store: Store) -> None:
    writer = ArtifactWriter(store, RECIPE)
    writer.put_part("checkpoint-1", b"1")
    writer.put_part("result", b"2")
    assert list(Artifact.open(store, writer.finish({}, parts=["result"]), "align").parts) == ["result"]
    with pytest.raises(NotFound, match="no part 'never' yet"):
        writer.finish({}, parts=["never"])


def test_nothing_is_finished_before_its_manifest(store: Store) -> None:
    order: list[str] = []

    class Recording(PassingStore):
        def on_call(self, method: str, key: str) -> None:
            if method.startswith("put"):
                order.append(key.removeprefix(RECIPE.key).split("/")[1])

    make(Recording(store))
    assert order == ["parts", "sidecars"] * 4 + ["manifests"]


def test_two_writers_whose_results_differ_both_leave_whole_artifacts(store: Store) -> None:
    """The second writer does all its work between the first one's part and that part's sidecar."""
    other = {name: data[::-1] + b"rounded otherwise" for name, data in PARTS.items()}
    refs: list[ArtifactRef] = []
    pausing = PausingStore(store, "put", "sidecars/", lambda: refs.append(make(store, other)))
    refs.append(make(pausing))
    assert refs[0].sha256 != refs[1].sha256
    contents = []
    for ref in refs:
        artifact = Artifact.open(store, ref, "align")
        contents.append({name: artifact.read_part(name) for name in artifact.parts})
    assert contents[0] == other
    assert all(contents[1][name] in (PARTS[name], other[name]) for name in PARTS)
    assert make(store) in refs


def test_a_part_that_expired_is_made_again(store: Store) -> None:
    make(store)
    lost = next(each.key for each in store.list(f"{RECIPE.key}/parts/") if each.key.endswith("frames-000001"))
    Path(store.uri(lost).removeprefix("file://")).unlink()
    writer = ArtifactWriter(store, RECIPE)
    assert writer.finished() is None
    assert [name for name in PARTS if not writer.has_part(name)] == ["frames-000001"]
    assert Artifact.open(store, make(store), "align").read_part("frames-000001") == PARTS["frames-000001"]


def test_a_half_written_sidecar_counts_as_none(store: Store) -> None:
    writer = ArtifactWriter(store, RECIPE)
    writer.put_part("a", b"1")
    store.put(f"{RECIPE.key}/sidecars/a.json", b'{"sha256": "12')
    assert not ArtifactWriter(store, RECIPE).has_part("a")


@pytest.mark.parametrize(
    "read",
    [
        lambda store, ref: Artifact.open(CorruptingStore(store, "manifests/"), ref, "align"),
        lambda store, ref: Artifact.open(CorruptingStore(store, "parts/"), ref, "align").read_part("frames-000000"),
        lambda store, ref: ArtifactWriter(CorruptingStore(store, "parts/"), RECIPE).read_part("frames-000000"),
    ],
)
def test_damage_is_found_wherever_it_is(store: Store, read: Callable[[Store, ArtifactRef], object]) -> None:
    ref = make(store)
    with pytest.raises(DigestMismatch):
        read(store, ref)


def test_the_wrong_kind_of_object_is_refused(store: Store) -> None:
    ref = make(store)
    with pytest.raises(InvalidInput, match="of stage 'align', where one of stage 'invert' is needed"):
        Artifact.open(store, ref, stage="invert")
    half = {"recipe": {"stage": "align"}, "meta": {}, "parts": {}}
    for data in (b"not JSON", b"[]", b"{}", json.dumps(half).encode()):
        with pytest.raises(InvalidInput, match="is not the manifest of an artifact"):
            Artifact.open(store, put_object(store, "some/object", data), stage="align")


def test_a_part_that_is_not_there_is_named(store: Store) -> None:
    artifact = Artifact.open(store, make(store), "align")
    for read in (artifact.read_part, artifact.part_meta, artifact.part_ref):
        with pytest.raises(NotFound, match="no part 'crops-9'"):
            read("crops-9")


NAMES = st.text(max_size=3)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES
JSON = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(NAMES, PLAIN, max_size=2)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=3))
def test_the_key_depends_on_the_values_and_not_on_their_order(parameters: dict[str, object]) -> None:
    def recipe(values: dict[str, object]) -> Recipe:
        return Recipe(video=SHARED, stage="s", version=1, inputs={}, parameters=values)

    assert recipe(parameters).key == recipe(dict(reversed(parameters.items()))).key
    assert recipe(parameters).key != recipe({**parameters, "one more": 1}).key


def test_everything_in_a_recipe_moves_its_key() -> None:
    base = {"video": VIDEO, "stage": "align", "version": 1, "inputs": {"video": "a"}, "parameters": {"sigma": 1.0}}
    changes = [
        {},
        {"video": SHARED},
        {"stage": "invert"},
        {"version": 2},
        {"inputs": {"video": "b"}},
        {"parameters": {"sigma": 2.0}},
    ]
    assert len({Recipe(**{**base, **change}).key for change in changes}) == len(changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="must be the SHA-256"):
        _ = Recipe(video="film", stage="align", version=1, inputs={}).key
    with pytest.raises(ValueError, match="Out of range float"):
        _ = Recipe(video=VIDEO, stage="align", version=1, inputs={}, parameters={"sigma": float("nan")}).key
