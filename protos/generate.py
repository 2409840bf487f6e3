"""Generates seamline/v1 from protos/seamline/v1: messages, gRPC stubs and their types.

    python protos/generate.py [--out DIR]

The generated code is committed, so that using Seamline needs no compiler; tests/unit/test_contract.py fails
when it no longer matches the protos.
"""

import argparse
import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
PACKAGE = "seamline/v1"
DOCSTRING = '"""The contract, generated from protos/seamline/v1 by protos/generate.py; never edited."""\n'


def generate(out: Path) -> None:
    """Writes the package `seamline/v1` under the directory `out`.

    Raises:
        SystemExit: protoc refused a file; what it said is on stderr.
    """
    out.mkdir(parents=True, exist_ok=True)
    # protoc-gen-mypy is installed beside the interpreter, which need not be on PATH.
    plugins = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"--proto_path={PROTOS}",
        f"--proto_path={resources.files('grpc_tools') / '_proto'}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        *(f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
        *(f"{PACKAGE}/{proto.name}" for proto in sorted((PROTOS / PACKAGE).glob("*.proto"))),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")
    (out / PACKAGE / "__init__.py").write_text(DOCSTRING)


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate seamline/v1 from the protos.")
    parser.add_argument("--out", type=Path, default=PROTOS.parent, help="directory that holds seamline/")
    generate(parser.parse_args().out)


if __name__ == "__main__":
    main()
