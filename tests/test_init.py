"""The files that `tokentape init` writes: they are read by what they are for."""

import configparser
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from collector.config import load
from collector.init_cli import CONFIG, FILES, KITS
from store.doors import Doors
from tests.collecting import ask, environ, told
from tests.conftest import ROOT
from tests.serving import served

KINDS = ("", *KITS)
UNITS = ("tokentape.service", "tokentape-serve.service")


def written(home: Path, kind: str, *words: str) -> Path:
    """The folder with the files of a kind."""
    folder = home / (kind or "plain")
    result = ask(home, *words, "init", folder, *([f"--{kind}"] if kind else []))
    assert (result.exit_code, result.stderr) == (0, "")
    assert {f"wrote {path}" for path in folder.iterdir()} <= set(result.stdout.splitlines())
    assert "next" in result.stdout
    return folder


def unit(folder: Path, name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(folder / name)
    return parsed


# --- what is there ---


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_there_is_written_over(tmp_path: Path, kind: str) -> None:
    folder = written(tmp_path, kind)
    mine = {path: path.read_text() + "# mine\n" for path in folder.iterdir()}
    for path, text in mine.items():
        path.write_text(text)
    option = [f"--{kind}"] if kind else []
    assert "is there already" in told(ask(tmp_path, "init", folder, *option), 2)
    assert {path: path.read_text() for path in folder.iterdir()} == mine
    (folder / CONFIG).rename(tmp_path / "kept")
    (folder / CONFIG).symlink_to(tmp_path / "nowhere")
    for path in mine:
        if path.name != CONFIG:
            path.unlink()
    assert "is there already" in told(ask(tmp_path, "init", folder, *option), 2)
    assert [path.name for path in folder.iterdir()] == [CONFIG], "all, or none"
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in told(ask(tmp_path, "init", tmp_path / "file" / "below"), 2)


# --- the configuration ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_that_was_written_loads_as_it_is_and_with_all_that_its_comments_offer(
    tmp_path: Path, kind: str
) -> None:
    path = written(tmp_path, kind) / CONFIG
    plain = load(path, {})
    assert plain.sources == load(None, {"HOME": str(tmp_path)}).sources
    path.write_text(re.sub(r"^#(?=\S|  )", "", path.read_text(), flags=re.MULTILINE))
    offered = load(path, {})
    assert offered.store == plain.store
    assert (offered.retention.full_s, offered.serve.hosts) == (90 * 86_400, ("prices.example",))
    assert not offered.sources["models_dev"].enabled


def test_the_store_is_beside_the_configuration_or_where_the_command_line_says(tmp_path: Path) -> None:
    assert load(written(tmp_path, "") / CONFIG, {}).store == f"sqlite:///{tmp_path}/plain/tokentape.db"
    for number, (named, store) in enumerate(
        (("tape.db", f"sqlite:///{tmp_path}/tape.db"), ("postgresql://tape@db/it's", "postgresql://tape@db/it's"))
    ):
        folder = tmp_path / str(number)
        assert ask(tmp_path, "--store", named, "init", folder).exit_code == 0
        assert load(folder / CONFIG, {}).store == store


def test_a_store_is_filled_and_asked_by_the_steps_that_are_printed(tmp_path: Path) -> None:
    printed = ask(tmp_path, "init").stdout.splitlines()
    assert [line.strip() for line in printed[1:4]] == [
        "next:",
        "tokentape collect",
        "tokentape cheapest openai/gpt-oss-120b",
    ]
    assert ask(tmp_path, "collect", "genai_prices").exit_code == 0
    assert (tmp_path / "tokentape.db").is_file()
    assert ask(tmp_path, "cheapest", "openai/gpt-oss-120b").exit_code == 0


# --- systemd ---


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_this_program_with_what_it_needs_and_no_more(tmp_path: Path, name: str) -> None:
    service = unit(written(tmp_path, "systemd"), name)["Service"]
    program = service["ExecStart"].split('"')[1]
    assert Path(program).is_file()
    assert service["ExecStart"].endswith("serve" if "serve" in name else "daemon")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    hardened = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "DynamicUser": "yes", "CapabilityBoundingSet": ""}
    assert {key: service[key] for key in hardened} == hardened
    assert service["StateDirectory"] == "tokentape"
    assert int(service["TimeoutStopSec"]) > 10


def test_both_units_have_one_user_and_one_guard(tmp_path: Path) -> None:
    folder = written(tmp_path, "systemd")
    daemon, serve = (dict(unit(folder, name)["Service"]) for name in UNITS)
    assert daemon.pop("ExecStart") != serve.pop("ExecStart")
    assert daemon == serve


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    folder = written(tmp_path, "systemd")
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(folder / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert [line for line in done.stderr.splitlines() if "tokentape" in line] == []


# --- containers ---


def test_an_image_is_made_of_what_a_checkout_has_and_runs_as_nobody_in_particular(tmp_path: Path) -> None:
    text = (written(tmp_path, "container") / "Containerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for word in line.split()[:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    (extras,) = re.findall(r"'\.\[([a-z,]+)\]'", text)
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(optional)
    assert re.search(r"^USER [1-9][0-9]*$", text, re.MULTILINE)
    assert "VOLUME /var/lib/tokentape" in text
    assert load(tmp_path / "container" / CONFIG, {}).store == "sqlite:////var/lib/tokentape/tokentape.db"


def test_the_health_of_a_container_is_that_of_its_server(tmp_path: Path) -> None:
    text = (FILES / "Containerfile").read_text()
    (line,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    python, *words = json.loads(line)
    assert python == "python"

    def status(port: int) -> int:
        env = environ(tmp_path, TOKENTAPE_PORT=str(port))
        return subprocess.run(
            [sys.executable, *words], env=env, capture_output=True, check=False, timeout=30
        ).returncode

    with served(Doors(str(tmp_path / "none.db"))) as http:
        assert status(http.port) == 0
        port = http.port
    assert status(port) != 0


def test_a_compose_file_has_a_daemon_and_a_server_over_one_store(tmp_path: Path) -> None:
    folder = written(tmp_path, "compose")
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert set(services) == {"db", "daemon", "serve"}
    for name in ("daemon", "serve"):
        service = services[name]
        assert service["command"] == [name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["depends_on"] == {"db": {"condition": "service_healthy"}}
        assert "PGPASSWORD" in service["environment"]
    assert services["serve"]["ports"] == ["127.0.0.1:8787:8787"]
    assert load(folder / CONFIG, {}).store == "postgresql://tape@db/tape"


def test_no_mark_is_left_that_was_not_filled_in(tmp_path: Path) -> None:
    for kind in KINDS:
        for path in written(tmp_path, kind).iterdir():
            assert not re.findall(r"@[A-Z]+@", path.read_text()), path
