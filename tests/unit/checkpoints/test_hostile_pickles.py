"""Pickles that would run something: each is refused by name, and none does."""

import io
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch

from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput
from tests.fakes.foreign import RECONSTRUCT
from tests.fakes.pickle_code import built, call, data, name, table, text, tuple_of, whole

CANARY = "the-canary"
TOUCH = text(f"touch {CANARY}")
CREATE = text(f"open({CANARY!r}, 'w')")
SYSTEM = call(name("os", "system"), TOUCH)
ORDERED = call(name("collections", "OrderedDict"))
LINEAR = name("torch.nn.modules.linear", "Linear") + b")\x81"
PERSISTENT = name(*RECONSTRUCT.rsplit(".", 1))


def persistent(kind: str, class_name: str, state: bytes = b"}") -> bytes:
    meta = table((text("type"), text(kind)), (text("class_name"), text(class_name)), (text("state"), state))
    return call(PERSISTENT, meta)


def inner_file(content: bytes) -> bytes:
    return call(name("torch.storage", "_load_from_bytes"), data(content))


def legacy(value: bytes) -> bytes:
    """The pickles in front of a file of torch's old format."""
    system = {"protocol_version": 1001, "little_endian": True}
    head = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, system)]
    return b"".join(head) + whole(value) + pickle.dumps([], 2)


HOSTILE = {
    "os.system": (SYSTEM, "asks for os.system"),
    "posix.system": (call(name("posix", "system"), TOUCH), "asks for posix.system"),
    "builtins.eval": (call(name("builtins", "eval"), CREATE), "asks for builtins.eval"),
    "Python 2's eval": (call(name("__builtin__", "eval"), CREATE), "asks for __builtin__.eval"),
    "builtins.exec": (text("builtins") + text("exec") + b"\x93" + tuple_of(CREATE) + b"R", "asks for builtins.exec"),
    "subprocess": (call(name("subprocess", "Popen"), TOUCH), "asks for subprocess.Popen"),
    "getattr on a module": (
        call(call(name("builtins", "getattr"), name("torch", "serialization"), text("os")), TOUCH),
        "asks for builtins.getattr",
    ),
    "dotted name": (
        text("torch") + text("serialization.os.system") + b"\x93" + tuple_of(TOUCH) + b"R",
        "asks for torch.serialization.os.system",
    ),
    "attrgetter": (call(name("operator", "attrgetter"), text("system")), "asks for operator.attrgetter"),
    "import": (call(name("importlib", "import_module"), text("os")), "asks for importlib.import_module"),
    "torch.load": (call(name("torch", "load"), TOUCH), "asks for torch.load"),
    "torch.hub.load": (call(name("torch.hub", "load"), TOUCH), "asks for torch.hub.load"),
    "numpy's runstring": (
        call(name("numpy.testing._private.utils", "runstring"), CREATE, b"}"),
        "asks for numpy.testing._private.utils.runstring",
    ),
    "unknown class": (name("torch.nn.modules.linear", "Liner") + b")\x81", "asks for torch.nn.modules.linear.Liner"),
    "TorchScript outside": (name("__torch__.evil", "Module") + b")\x81", "asks for __torch__.evil.Module"),
    "reduce in a dictionary": (table((text("a"), b"](" + SYSTEM + b"e")), "asks for os.system"),
    "reduce in a state": (built(LINEAR, table((text("_parameters"), SYSTEM))), "asks for os.system"),
    "reduce in a tensor": (call(name("torch._utils", "_rebuild_tensor_v2"), SYSTEM), "asks for os.system"),
    "reduce in a source": (persistent("class", "Generator", SYSTEM), "asks for os.system"),
    "reduce in a nested file": (inner_file(whole(SYSTEM)), "asks for os.system"),
    "reduce in torch's old format": (legacy(SYSTEM)[2:-1], "asks for os.system"),
    "persistent class": (persistent("class", "Evil"), "asks for persistent class Evil"),
    "persistent function": (persistent("function", "Generator"), "asks for persistent class Generator"),
    "persistent class of no name": (call(PERSISTENT, table((text("type"), text("class")))), "persistent class None"),
    "reconstructor": (call(name("copyreg", "_reconstructor"), name("os", "system"), b"N", b"N"), "asks for os.system"),
    "tensor of a type": (
        call(name("torch._tensor", "_rebuild_from_type_v2"), name("os", "system"), b"N", tuple_of(TOUCH), b"N"),
        "asks for os.system",
    ),
    "class that is given attributes": (
        built(name("torch.nn.modules.linear", "Linear"), table((text("__reduce__"), TOUCH))),
        "a Foreign is given a state",
    ),
    "state for a dictionary": (built(b"}", table((text("__class__"), TOUCH))), "a dict is given a state"),
    "two states": (built(built(LINEAR, b"}"), b"}"), "a StandIn is given a state"),
    "call of a text": (call(text("os.system"), TOUCH), "called that cannot be"),
    "call of a stand-in": (call(LINEAR, TOUCH), "called that cannot be"),
    "call of a value": (call(name("numpy", "ndarray"), TOUCH), "numpy.ndarray is called"),
    "storage loader as a tensor's": (
        call(
            name("torch._tensor", "_rebuild_from_type_v2"), name("torch.storage", "_load_from_bytes"), b"N", b")", b"N"
        ),
        "_load_from_bytes is called",
    ),
    "old instance": (b"(" + TOUCH + b"ios\nsystem\n", "pickle operation INST"),
    "old object": (b"(" + name("collections", "OrderedDict") + TOUCH + b"o", "pickle operation OBJ"),
    "extension": (b"\x82\x01", "pickle operation EXT1"),
    "reference outside": (text("os.system") + b"Q", "reference to something outside"),
    "reference by text": (b"Pos.system\n", "pickle operation PERSID"),
    "array of objects": (call(name("numpy", "dtype"), text("O8"), b"K\x00", b"K\x01"), "numpy type 'O8'"),
    "bytes of a length": (call(name("builtins", "bytes"), b"J\xff\xff\xff\x7f"), "takes 0 positional arguments"),
    "encoding": (call(name("_codecs", "encode"), TOUCH, text("rot13")), "bytes in encoding 'rot13'"),
    "key that takes forever": (b"}" + b")" + b"\x85" * 40 + b"Ns", "a tuple as a key"),
    "state of a table's own": (built(ORDERED, b"N") + TOUCH + b"\x85R", "called that cannot be"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(
    attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, reason = HOSTILE[attack]
    path = tmp_path / "ffhq.pkl"
    path.write_bytes(whole(code))
    refused(path, reason)


@pytest.mark.parametrize("container", ["torch", "old torch", "TorchScript"])
def test_no_container_hides_it(container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model_obama.pt"
    if container == "old torch":
        path.write_bytes(legacy(SYSTEM))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", whole(SYSTEM))
            archive.writestr("model/version", "3")
            if container == "TorchScript":
                archive.writestr("model/code/__torch__.py", f"open({CANARY!r}, 'w')")
    refused(path, "asks for os.system")


def test_files_within_files_come_to_an_end(tmp_path: Path) -> None:
    code = whole(b"N")
    for _ in range(4):
        code = whole(inner_file(code))
    (tmp_path / "a.pkl").write_bytes(code)
    refused(tmp_path / "a.pkl", "files in one another without end")


def test_what_torch_itself_would_run_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Touches:
        def __reduce__(self):
            return open, (CANARY, "w")

    monkeypatch.chdir(tmp_path)
    for zipped in (True, False):
        content = io.BytesIO()
        torch.save({"state_dict": Touches()}, content, _use_new_zipfile_serialization=zipped)
        (tmp_path / "a.pt").write_bytes(content.getvalue())
        refused(tmp_path / "a.pt", r"asks for _?io\.open")


def refused(path: Path, reason: str) -> None:
    """The file is refused for a reason, with its name and a remedy, and nothing has appeared."""
    with pytest.raises(InvalidInput, match=reason if "\\" in reason else re.escape(reason)) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "get the file again" in str(caught.value)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
