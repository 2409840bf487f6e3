"""A pickle machine that can make plain values, tensors and stand-ins, and has no way to call anything else.

`pickle.Unpickler` with a `find_class` of one's own still calls what that returns, and sets attributes as it is told.
Here `pickletools` splits the bytes into operations and a table says what each does to a stack of plain values.
"""

import pickletools
import re
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

import numpy as np
import torch
from torch import Tensor

from seamline.checkpoints import known
from seamline.checkpoints.limits import MAX_DEPTH, Budget, refusal
from seamline.checkpoints.stand_ins import Foreign, StandIn
from seamline.checkpoints.tensors import STORAGES, Storage

LoadStorage = Callable[[torch.dtype, str, int], Storage]
"""Type, key and number of elements of a storage to the storage."""

ReadNested = Callable[[bytes | bytearray], Storage]
"""The bytes of a storage that was pickled as a file of its own to the storage."""

LOAD_FROM_BYTES: Final = Foreign("torch.storage", "_load_from_bytes")
ITEM_BYTES: Final = 64
"""What an item of a container takes, about."""
IGNORED: Final = frozenset({"PROTO", "FRAME"})
PUSHED: Final = re.compile(
    r"(SHORT_)?BIN(INT|STRING|UNICODE|BYTES|FLOAT)[128]?|INT|LONG[14]?|FLOAT|STRING|UNICODE|BYTEARRAY8"
)
"""Operations that push their argument."""
CONSTANTS: Final[Mapping[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY: Final[Mapping[str, Callable[[], Any]]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MEMO_PUT: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
MEMO_GET: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})


class Unpickler:
    """Reads one pickle. Made for one file, and used once."""

    def __init__(
        self,
        file: IO[bytes],
        budget: Budget,
        load_storage: LoadStorage | None = None,
        read_nested: ReadNested | None = None,
        *,
        script: bool = False,
    ) -> None:
        """
        Args:
            file: At the pickle's start; left at its end.
            budget: Pays for operations and tensors.
            load_storage: Where the storages are that the pickle refers to, if it may refer to any.
            read_nested: Reads storages that are files within the file, if there may be any.
            script: Whether classes of TorchScript may appear.
        """
        self._file, self._budget, self._script = file, budget, script
        self._load_storage, self._read_nested = load_storage, read_nested
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The pickled value.

        Raises:
            InvalidInput: It asks for a name that no known checkpoint needs, is too large or too deep.
            ValueError: It is damaged.
        """
        for opcode, argument, _ in pickletools.genops(self._file):
            self._budget.operate()
            if opcode.name == "STOP":
                break
            self._operate(opcode.name, argument)
        value = self._pop()
        if self._stack or self._marks:
            raise ValueError("the pickle leaves something over")
        self._check_depth(value)
        return value

    def _operate(self, name: str, argument: Any) -> None:
        if PUSHED.fullmatch(name):
            self._stack.append(argument)
        elif name in CONSTANTS:
            self._stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self._stack.append(EMPTY[name]())
        elif name in TUPLES:
            items = [self._pop() for _ in range(TUPLES[name])]
            self._stack.append(tuple(reversed(items)))
        elif name in MEMO_PUT:
            self._memo[argument] = self._top()
        elif name in MEMO_GET:
            self._stack.append(self._memo[argument])
        elif name not in IGNORED:
            operation = OPERATIONS.get(name)
            if operation is None:
                raise refusal(self._budget.path, f"uses the pickle operation {name}, which no known checkpoint needs")
            operation(self, argument)

    def _top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("the pickle's stack is empty")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _pop_mark(self) -> list[Any]:
        mark = self._marks.pop() if self._marks else len(self._stack) + 1
        if mark > len(self._stack):
            raise ValueError("the pickle has no mark")
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def mark(self, _: Any) -> None:
        """Remember how high the stack is."""
        self._marks.append(len(self._stack))

    def drop(self, _: Any) -> None:
        """Forget the top, or a mark that is there."""
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def drop_mark(self, _: Any) -> None:
        """Forget everything down to the mark."""
        self._pop_mark()

    def double(self, _: Any) -> None:
        """Push the top once more."""
        self._stack.append(self._top())

    def memoize(self, _: Any) -> None:
        """Keep the top under the next number."""
        self._memo[len(self._memo)] = self._top()

    def make_list(self, _: Any) -> None:
        """Make a list of what lies above the mark."""
        self._stack.append(self._pop_mark())

    def make_tuple(self, _: Any) -> None:
        """Make a tuple of what lies above the mark."""
        self._stack.append(tuple(self._pop_mark()))

    def make_dict(self, _: Any) -> None:
        """Make a dictionary of what lies above the mark."""
        items = self._pop_mark()
        self._stack.append({})
        self._set_items(items)

    def append(self, _: Any) -> None:
        """Append the top to the list below."""
        self._extend([self._pop()])

    def appends(self, _: Any) -> None:
        """Append what lies above the mark to the list below."""
        self._extend(self._pop_mark())

    def _extend(self, items: list[Any]) -> None:
        into = self._top()
        if type(into) is not list:
            raise ValueError(f"something is appended to a {type(into).__name__}")
        into.extend(items)

    def set_item(self, _: Any) -> None:
        """Put the top under the key below it."""
        value = self._pop()
        self._set_items([self._pop(), value])

    def set_items(self, _: Any) -> None:
        """Put what lies above the mark, keys and values by turns, into the dictionary below."""
        self._set_items(self._pop_mark())

    def _set_items(self, items: list[Any]) -> None:
        into = self._top()
        if not isinstance(into, dict) or len(items) % 2:
            raise ValueError(f"items are put into a {type(into).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            into[known.scalar_key(key)] = value

    def add_items(self, _: Any) -> None:
        """Put what lies above the mark into the set below."""
        items, into = self._pop_mark(), self._top()
        if type(into) is not set:
            raise ValueError(f"items are added to a {type(into).__name__}")
        into.update(map(known.scalar_key, items))

    def frozen_set(self, _: Any) -> None:
        """Make a frozen set of what lies above the mark."""
        self._stack.append(frozenset(map(known.scalar_key, self._pop_mark())))

    def find(self, argument: Any) -> None:
        """Push what stands for a name, if it is known."""
        module, name = argument.split(" ") if argument else reversed([self._pop(), self._pop()])
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        self._stack.append(self._known(lambda: known.resolve(module, name, script=self._script)))

    def call(self, _: Any) -> None:
        """Make what the foreign name below makes of the arguments on top."""
        args, foreign = self._pop(), self._pop()
        if foreign == LOAD_FROM_BYTES:
            self._stack.append(self._nested(args))
        else:
            self._stack.append(self._paid(self._known(lambda: known.make(foreign, args))))

    def call_with_names(self, _: Any) -> None:
        """The same, with named arguments, which are kept as one more argument."""
        names = self._pop()
        if names:
            self._stack.append((*self._pop(), names))
        self.call(None)

    def build(self, _: Any) -> None:
        """Give the object below the state on top."""
        state = self._pop()
        self._paid(known.build(self._top(), state))

    def refer(self, _: Any) -> None:
        """Push the storage that the tuple on top refers to."""
        reference = self._pop()
        if isinstance(reference, tuple) and reference[:1] == ("module",) and isinstance(reference[1], Foreign):
            self._stack.append(reference[1])  # a class, with its source, in torch's old format
            return
        if self._load_storage is None or not isinstance(reference, tuple) or len(reference) not in (5, 6):
            raise ValueError("a reference to something outside of the file")
        what, kind, key, _, count, *rest = reference
        dtype = STORAGES.get(kind.name) if isinstance(kind, Foreign) else None
        plain = what == "storage" and type(count) is int and count >= 0 and isinstance(key, str)
        if dtype is None or not plain or any(part is not None for part in rest):
            raise ValueError("a reference to a storage of a kind that is not known")
        self._stack.append(self._load_storage(dtype, key, count))

    def _known(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except known.UnknownName as error:
            raise refusal(self._budget.path, f"asks for {error}, which no known checkpoint needs") from error

    def _paid(self, made: Any) -> Any:
        if isinstance(made, Tensor | np.ndarray):
            self._budget.spend(made.nbytes)
        elif isinstance(made, bytes | bytearray):
            self._budget.spend(len(made))
        elif isinstance(made, dict | set | frozenset):
            self._budget.spend(len(made) * ITEM_BYTES)
        return made

    def _nested(self, args: Any) -> Storage:
        if not isinstance(args, tuple) or len(args) != 1 or not isinstance(args[0], bytes | bytearray):
            raise ValueError("a storage that is made of no bytes")
        if self._read_nested is None:
            raise ValueError("a file within the file")
        return self._read_nested(args[0])

    def _check_depth(self, value: Any) -> None:
        seen, level = {id(value)}, [value]
        for _ in range(MAX_DEPTH):
            inner = (item for held in level for item in _inside(held))
            level = [item for item in inner if id(item) not in seen and not seen.add(id(item))]
            if not level:
                return
        raise refusal(self._budget.path, f"has containers more than {MAX_DEPTH} deep in one another")


def _inside(value: Any) -> Any:
    if isinstance(value, StandIn):
        return (value.args, value.state)
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


OPERATIONS: Final[Mapping[str, Callable[[Unpickler, Any], None]]] = {
    "MARK": Unpickler.mark,
    "POP": Unpickler.drop,
    "POP_MARK": Unpickler.drop_mark,
    "DUP": Unpickler.double,
    "MEMOIZE": Unpickler.memoize,
    "LIST": Unpickler.make_list,
    "TUPLE": Unpickler.make_tuple,
    "DICT": Unpickler.make_dict,
    "APPEND": Unpickler.append,
    "APPENDS": Unpickler.appends,
    "SETITEM": Unpickler.set_item,
    "SETITEMS": Unpickler.set_items,
    "ADDITEMS": Unpickler.add_items,
    "FROZENSET": Unpickler.frozen_set,
    "GLOBAL": Unpickler.find,
    "STACK_GLOBAL": Unpickler.find,
    "REDUCE": Unpickler.call,
    "NEWOBJ": Unpickler.call,
    "NEWOBJ_EX": Unpickler.call_with_names,
    "BUILD": Unpickler.build,
    "BINPERSID": Unpickler.refer,
}
