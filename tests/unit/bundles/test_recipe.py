import pytest

from seamline.bundles import INSTALLED, load_bundle
from seamline.bundles.places import bundle_directories, find_bundle, has_weights
from seamline.bundles.recipe import read_recipe
from seamline.checkpoints.formats import FORMATS
from seamline.errors import InvalidInput, NotFound, Precondition
from tests.fakes.recipe import small_recipe


def test_the_official_weights_are_named_completely():
    recipe = read_recipe(INSTALLED / "ffhq-1024")
    assert (recipe.name, recipe.resolution) == ("ffhq-1024", 1024)
    for source in recipe.sources.values():
        assert source.format in FORMATS
        assert source.licence
        assert source.licence_url.startswith("https://")
        assert source.page.startswith("https://")
        assert source.optional or all(file.urls and file.size and file.sha256 for file in source.files)
        assert all(url.startswith("https://") for file in source.files for url in file.urls)
    assert list(recipe.edits) == [file.name.removesuffix(".npy") for file in recipe.sources["directions"].files]
    forbidding = {source.name for source in recipe.sources.values() if source.non_commercial}
    assert forbidding == {"generator", "directions", "latent_transformer"}


def test_a_bundle_without_weights_says_in_one_line_what_to_run(tmp_path):
    (tmp_path / "ffhq-1024").mkdir()
    (tmp_path / "ffhq-1024" / "bundle.toml").write_bytes((INSTALLED / "ffhq-1024" / "bundle.toml").read_bytes())
    with pytest.raises(Precondition) as caught:
        load_bundle("ffhq-1024", tmp_path)
    assert str(caught.value) == "bundle ffhq-1024 has no weights yet: run `seamline bundles fetch ffhq-1024`"


def test_a_bundle_is_found_among_the_users_own_where_its_weights_are(tmp_path, monkeypatch):
    small = small_recipe(tmp_path)
    monkeypatch.setattr("seamline.bundles.places.INSTALLED", small.bundles)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert find_bundle("small-64") == small.directory
    own = tmp_path / "data" / "seamline" / "bundles" / "small-64"
    own.mkdir(parents=True)
    for name in ("bundle.toml", "installed.toml"):
        (own / name).write_bytes((small.directory / "bundle.toml").read_bytes())
    assert find_bundle("small-64") == own
    assert has_weights(own)
    assert bundle_directories(None)["small-64"] == own
    assert find_bundle("small-64", small.bundles) == small.directory


def test_recipes_are_not_listed_as_installed(tmp_path):
    with pytest.raises(NotFound, match="installed: none"):
        load_bundle("nobody", small_recipe(tmp_path).bundles)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('urls = ["http', 'urls = ["ftp', "must start with http"),
        ('name = "perceptual.pt"', 'name = "../perceptual.pt"', "plain name"),
        ('name = "perceptual.pt"', 'name = "clip.pt"', "twice"),
        ('format = "plain-clip"', 'formal = "plain-clip"', "formal"),
        ('sha256 = "', 'sha256 = "xyz', "64 hex digits"),
        ("size = ", "size = -", "must be positive"),
        ("resolution = 64", "", "misses 'resolution'"),
        ("[sources.", "[saucers.", "nothing of this bundle"),
        ("resolution = 64", "resolution = ", "Invalid value"),
    ],
)
def test_a_wrong_recipe_names_the_file_and_the_reason(tmp_path, before, after, reason):
    directory = small_recipe(tmp_path).directory
    path = directory / "bundle.toml"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(InvalidInput, match=reason) as caught:
        read_recipe(directory)
    assert str(path) in str(caught.value)
