"""``vireid serve`` on the command line: refusals, and a server of an index without a model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.serve.made import Client, PixelModel
from vireid_cli.commands.main import app
from vireid_cli.errors import UsageError, VireidError
from vireid_cli.search.index import Index

RUNNER = CliRunner()
TOKEN = "a-token-of-the-test-0123456789"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with an index of two records that records no model."""
    vectors = np.eye(2, 8, dtype=np.float32)
    columns = {"path": ["a.png", "b.png"], "modality": ["visible", "infrared"]}
    with Index.create(tmp_path / "indexes" / "people") as index:
        index.add(vectors, columns, fingerprint=PixelModel().fingerprint)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host", "0.0.0.0"], "needs a token"),
        (["--host", "0.0.0.0", "--token", "short"], "at least 16"),
        (["--host", "0.0.0.0", "--token", TOKEN, "--insecure"], "--insecure has no effect"),
        (["pepole"], "there is no index 'pepole'"),
        (["people", "people"], "two indexes have the name people"),
        (["--images", "nowhere"], "there is no such folder"),
        (["--model", "nowhere.onnx"], "nowhere.onnx"),
    ],
)
def test_wrong_use_is_refused(words: list[str], reason: str, data: Path) -> None:
    done = RUNNER.invoke(app, ["serve", *words, "--data", str(data), "--device", "cpu"])
    assert isinstance(done.exception, UsageError), done.output
    assert reason in done.exception.message


def test_a_data_directory_without_an_index_is_refused(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["serve", "--data", str(tmp_path), "--device", "cpu"])
    assert isinstance(done.exception, UsageError)
    assert "vireid index create" in done.exception.hint


def test_missing_packages_are_named() -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None\n"
        "from vireid_cli.commands.main import main\n"
        "sys.argv = ['vireid', 'serve']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "fastapi" in done.stderr
    assert "pip install 'vireid[serve]'" in done.stderr


def test_a_port_in_use_is_named(data: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = RUNNER.invoke(app, ["serve", "--port", port, "--data", str(data), "--device", "cpu"])
    assert isinstance(done.exception, VireidError)
    assert f"port {port}" in done.exception.message


def test_a_server_from_start_to_sigterm(data: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "vireid_cli",
        "serve",
        "--port",
        "0",
        "--host",
        "0.0.0.0",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "VIREID_TOKEN": TOKEN, "VIREID_DATA": str(data)}
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "index people: 2 images\n"
            line = server.stdout.readline()
            match = re.fullmatch(r"serving http://0\.0\.0\.0:(\d+)/ \(stop with Ctrl-C\)\n", line)
            assert match is not None
            port = int(match[1])
            assert Client(port).get("/v1/index/people/records").status == 401
            assert Client(port, TOKEN).get("/v1/index/people/records").json["total"] == 2
        finally:
            server.send_signal(signal.SIGTERM)
        output, errors = server.communicate(timeout=60)
    assert server.returncode == 0
    assert output == "stopped: 2 requests answered\n"
    assert "records no model" in errors
    assert TOKEN not in output + errors
