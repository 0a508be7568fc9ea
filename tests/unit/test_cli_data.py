"""`cloister data`, as far as it needs no store."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloister import cli
from cloister.cli.data.sinks import partial
from cloister.cli.errors import UserError

LONG = "a" * 300


@pytest.mark.parametrize("name", [LONG, f"{LONG}/b"])
def test_a_name_that_is_too_long_is_an_error_of_a_line(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["data", "put", str(tmp_path / name), "checkpoints/x", "--deployment", "d"])
    assert (result.exit_code, result.stderr) == (2, f"error: {tmp_path / name}: File name too long\n")
    with pytest.raises(UserError, match="File name too long"), partial(tmp_path / name, "host/store/key"):
        pass
    assert list(tmp_path.iterdir()) == []
