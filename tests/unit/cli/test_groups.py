import subprocess
import sys

import pytest
from typer.testing import CliRunner

from seamline.cli.app import app
from seamline.cli.groups import GROUPS


def test_the_command_line_starts_without_what_networks_take():
    """A preview of an editor that runs has seconds, of which importing torch would take one."""
    code = "import sys, seamline.cli; sys.exit(str(heavy) if (heavy := {'torch', 'scipy'} & sys.modules.keys()) else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_is_there_when_it_is_called(name):
    shown = CliRunner().invoke(app, [name, "--help"], prog_name="seamline")
    assert shown.exit_code == 0
    assert f"seamline {name} [OPTIONS] COMMAND" in shown.output
    assert "Commands" in shown.output


def test_groups_are_listed_with_the_commands_and_no_others_are_known():
    shown = CliRunner().invoke(app, ["--help"])
    assert all(f" {name} " in shown.output for name in ("edit", "serve", *GROUPS))
    assert CliRunner().invoke(app, ["nothing"]).exit_code == 2
