import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.cli.arguments import cache_directory, check_directory, check_files, parse_edits, parse_style
from seamline.errors import InvalidInput
from seamline.v1.media_pb2 import Edit, EditMethod, Keyframe, TextEdit, TextStyle

TRANSFORMER = EditMethod.EDIT_METHOD_LATENT_TRANSFORMER
NUMBERS = st.floats(min_value=-100, max_value=100)


class TestConstants:
    def test_reads_edits_in_order(self):
        asked = parse_edits(["smile=+2", "age=-1.5", "yaw=0"])
        assert list(asked.edits) == [
            Edit(name="smile", strength=2.0),
            Edit(name="age", strength=-1.5),
            Edit(name="yaw", strength=0.0),
        ]
        (variant,) = asked.variants()
        assert (variant.name, variant.edits) == ("smile+2_age-1.5_yaw+0", asked.edits)

    @given(NUMBERS)
    def test_any_number_is_a_strength(self, strength):
        (edit,) = parse_edits([f"smile={strength!r}"]).edits
        assert edit.strength == strength

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("smile", "is not name=strength"),
            ("smile=", "is not name=strength"),
            ("=2", "is not name=strength"),
            ("", "is not name=strength"),
            ("smile=much", "'much', which is not a number"),
            ("smile=nan", "'nan', which is not a number"),
            ("smile=inf", "'inf', which is not a number"),
            ("smile=1=2", "'1=2', which is not a number"),
        ],
    )
    def test_refuses_what_is_no_edit(self, text, what):
        with pytest.raises(InvalidInput, match=what) as error:
            parse_edits([text])
        assert error.value.field == "--edit"
        assert repr(text) in str(error.value)
        assert "smile=+2" in str(error.value)

    def test_refuses_an_edit_given_twice(self):
        with pytest.raises(InvalidInput, match="twice"):
            parse_edits(["smile=1", "smile=2:lt"])

    def test_refuses_to_do_nothing(self):
        with pytest.raises(InvalidInput, match="nothing to do"):
            parse_edits([])


class TestMethods:
    @pytest.mark.parametrize("value", ["+2", "0@0s,3@1.5s", "-3:3:7"])
    def test_the_latent_transformer_may_follow_every_strength(self, value):
        with_, without = parse_edits([f"smile={value}:lt"]), parse_edits([f"smile={value}"])
        assert [edit.method for edit in with_.edits] == [TRANSFORMER]
        with_.edits[0].method = EditMethod.EDIT_METHOD_UNSPECIFIED
        assert with_ == without

    def test_the_direction_can_be_said_outright(self):
        assert parse_edits(["smile=2:direction"]).edits[0].method == EditMethod.EDIT_METHOD_DIRECTION

    def test_another_method_is_named(self):
        with pytest.raises(InvalidInput, match="names the method 'magic', and there are only direction and lt"):
            parse_edits(["smile=2:magic"])


class TestKeyframes:
    def test_reads_seconds_and_milliseconds(self):
        (edit,) = parse_edits(["smile=0@0s,3@1500ms,-0.5@3"]).edits
        assert edit == Edit(
            name="smile",
            keyframes=[
                Keyframe(seconds=0, strength=0),
                Keyframe(seconds=1.5, strength=3),
                Keyframe(seconds=3, strength=-0.5),
            ],
        )

    @given(st.lists(st.tuples(st.floats(min_value=0, max_value=1e5), NUMBERS), min_size=1, max_size=9))
    def test_what_is_written_is_read_if_it_is_in_order(self, keyframes):
        written = ",".join(f"{strength!r}@{seconds!r}s" for seconds, strength in keyframes)
        times = [seconds for seconds, _ in keyframes]
        if times == sorted(set(times)):
            (edit,) = parse_edits([f"smile={written}"]).edits
            assert [(k.seconds, k.strength) for k in edit.keyframes] == keyframes
        else:
            with pytest.raises(InvalidInput, match="ascending"):
                parse_edits([f"smile={written}"])

    @pytest.mark.parametrize("value", ["2@", "@1s", "2@-1s", "2@1h", "x@1s", "2@1s,,3@2s", "2@1s,3", "2@nan"])
    def test_names_the_keyframe_that_is_wrong(self, value):
        with pytest.raises(InvalidInput, match="which is not strength@seconds"):
            parse_edits([f"smile={value}"])


class TestSweeps:
    def test_makes_a_variant_for_every_strength(self):
        variants = parse_edits(["smile=1", "age=-4:4:3"]).variants()
        assert [variant.name for variant in variants] == ["age-4", "age+0", "age+4"]
        for variant, strength in zip(variants, (-4, 0, 4), strict=True):
            assert variant.edits == (Edit(name="smile", strength=1), Edit(name="age", strength=strength))

    @given(NUMBERS, NUMBERS, st.integers(min_value=2, max_value=64))
    def test_variants_are_told_apart_or_refused(self, first, last, count):
        try:
            variants = parse_edits([f"age={first!r}:{last!r}:{count}"]).variants()
        except InvalidInput as error:
            assert "too close" in str(error)  # noqa: PT017  (only some are refused)
            return
        assert len({variant.name for variant in variants}) == count
        ends = [variants[index].edits[0].strength for index in (0, -1)]
        assert ends == pytest.approx([first, last])

    @pytest.mark.parametrize("value", ["1:2", "1:2:3:4", "a:2:3", "1:2:2.5", "1:2:"])
    def test_refuses_what_is_no_sweep(self, value):
        with pytest.raises(InvalidInput, match="not first:last:count"):
            parse_edits([f"age={value}"])

    @pytest.mark.parametrize("count", [-1, 0, 1, 65])
    def test_refuses_too_few_and_too_many(self, count):
        with pytest.raises(InvalidInput, match=f"sweeps {count} strengths; 2 to 64"):
            parse_edits([f"age=-1:1:{count}"])

    def test_refuses_two_sweeps(self):
        with pytest.raises(InvalidInput, match="smile and age are both swept"):
            parse_edits(["smile=0:1:2", "age=0:1:2"])


class TestText:
    WORDS = ("face", "face with glasses")

    def test_stands_beside_other_edits(self):
        asked = parse_edits(["smile=1"], self.WORDS, 0.15, "4")
        text = TextEdit(neutral="face", target="face with glasses", beta=0.15)
        assert list(asked.edits) == [Edit(name="smile", strength=1), Edit(text=text, strength=4)]

    def test_leaves_beta_to_the_service(self):
        (edit,) = parse_edits([], self.WORDS, None, "4").edits
        assert not edit.text.HasField("beta")

    def test_can_be_swept_and_gives_files_a_plain_name(self):
        names = [variant.name for variant in parse_edits([], self.WORDS, None, "2:4:2").variants()]
        assert names == ["face-with-glasses+2", "face-with-glasses+4"]

    def test_can_change_over_time(self):
        (edit,) = parse_edits([], self.WORDS, None, "0@0s,4@1s").edits
        assert [k.strength for k in edit.keyframes] == [0, 4]

    def test_needs_a_strength(self):
        with pytest.raises(InvalidInput, match="--text needs --strength"):
            parse_edits([], self.WORDS)

    @pytest.mark.parametrize("options", [{"beta": 0.1}, {"strength": "4"}])
    def test_its_options_need_it(self, options):
        with pytest.raises(InvalidInput, match="give --text"):
            parse_edits(["smile=1"], **options)

    def test_a_wrong_strength_is_named(self):
        with pytest.raises(InvalidInput, match=r"--strength 'much'.* not a number") as error:
            parse_edits([], self.WORDS, None, "much")
        assert error.value.field == "--strength"


class TestStyle:
    OLD = TextStyle(neutral="face", target="old man with grey hair")

    def test_may_stand_alone_and_names_the_file(self):
        (variant,) = parse_edits([], style=self.OLD).variants()
        assert (variant.edits, variant.style, variant.name) == ((), self.OLD, "old-man-with-grey-hair")

    def test_goes_with_every_strength_of_a_sweep(self):
        variants = parse_edits(["smile=-1:1:2"], style=self.OLD).variants()
        assert [(variant.name, variant.style) for variant in variants] == [("smile-1", self.OLD), ("smile+1", self.OLD)]

    def test_is_read_with_its_strength_or_without(self):
        texts = ("face", "old man with grey hair")
        assert parse_style(texts, None) == self.OLD
        assert parse_style(texts, 0.0) == TextStyle(neutral="face", target=texts[1], strength=0)
        assert parse_style(None, None) is None

    def test_a_strength_needs_it(self):
        with pytest.raises(InvalidInput, match="--style-strength is for --style") as error:
            parse_style(None, 1.0)
        assert error.value.field == "--style"


class TestFiles:
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "in.mp4"
        path.write_bytes(b"video")
        return path

    def test_accepts_new_files_in_new_directories(self, source, tmp_path):
        check_files(source, [tmp_path / "new" / "out.mp4", tmp_path / "new" / "out.json"])

    def test_refuses_a_missing_source(self, tmp_path):
        with pytest.raises(InvalidInput, match="no file"):
            check_files(tmp_path / "missing.mp4", [])

    def test_never_writes_over_the_source(self, source, tmp_path):
        link = tmp_path / "link.mp4"
        link.symlink_to(source)
        for path in (source, link, tmp_path / "." / "in.mp4"):
            with pytest.raises(InvalidInput, match="source itself"):
                check_files(source, [path])

    def test_refuses_a_directory(self, source, tmp_path):
        with pytest.raises(InvalidInput, match="directory"):
            check_files(source, [tmp_path])

    def test_refuses_a_place_below_a_file(self, source):
        with pytest.raises(InvalidInput, match=r"in\.mp4 is a file"):
            check_files(source, [source / "new" / "out.mp4"])

    def test_refuses_one_name_for_two_outputs(self, source, tmp_path):
        with pytest.raises(InvalidInput, match="different file names"):
            check_files(source, [tmp_path / "out.html", tmp_path / "out.html"])

    def test_several_videos_go_into_a_directory_and_not_into_a_file(self, source, tmp_path):
        (tmp_path / "v1.2").mkdir()
        for directory in (tmp_path, tmp_path / "new", tmp_path / "v1.2"):
            check_directory(directory)
        for file in (source, tmp_path / "out.mp4"):
            with pytest.raises(InvalidInput, match="name a directory"):
                check_directory(file)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("SEAMLINE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "seamline"
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
