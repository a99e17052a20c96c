"""`tokentape init`: files to begin with, for this machine, systemd, or containers."""

import json
import shlex
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from collector.cli import STORE
from collector.errors import ConfigError
from store.location import is_postgres, sqlite_path

FILES = Path(__file__).with_name("deploy")
CONFIG = "tokentape.yaml"
KEPT = "sqlite:////var/lib/tokentape/tokentape.db"
"""The store of a service or a container."""


class Kit(NamedTuple):
    """Files that belong together."""

    files: tuple[str, ...]
    store: str
    """What the configuration among them names, unless the command line does."""
    next_steps: Callable[[Path], Iterator[str]]


def _systemd(folder: Path) -> Iterator[str]:
    here = shlex.quote(str(folder))
    yield "next, as root:"
    yield f"  install -D -m 0644 {here}/{CONFIG} /etc/tokentape/{CONFIG}"
    yield "  (umask 077; touch /etc/tokentape/environment)    # keys of sources, and TOKENTAPE_TOKEN, as NAME=VALUE"
    yield f"  install -m 0644 {here}/tokentape.service {here}/tokentape-serve.service /etc/systemd/system/"
    yield "  systemctl daemon-reload && systemctl enable --now tokentape tokentape-serve"
    if _program().is_relative_to("/home") or _program().is_relative_to("/root"):
        yield f"but a service sees no home: {_program()} has to be installed elsewhere, such as in /opt/tokentape"


def _container(folder: Path) -> Iterator[str]:
    here = shlex.quote(str(folder))
    yield "next, in a checkout of tokentape (docker likewise, without --format):"
    yield f"  podman build --format docker -t tokentape -f {here}/Containerfile ."
    yield "  podman run -d --name tokentape -e TOKENTAPE_TOKEN=... -p 127.0.0.1:8787:8787 -v tape:/var/lib/tokentape \\"
    yield f"    -v {here}/{CONFIG}:/var/lib/tokentape/{CONFIG}:ro --stop-timeout 15 tokentape"


def _compose(folder: Path) -> Iterator[str]:
    here = shlex.quote(str(folder))
    yield "next, in a checkout of tokentape (podman likewise):"
    yield f"  docker build -t tokentape -f {here}/Containerfile ."
    yield "  (umask 077; printf 'POSTGRES_PASSWORD=%s\\nTOKENTAPE_TOKEN=%s\\n' \\"
    yield f'    "$(openssl rand -hex 24)" "$(openssl rand -hex 24)" > {here}/.env)'
    yield f"  docker compose --project-directory {here} up -d"


def _here(folder: Path) -> Iterator[str]:
    yield "next:"
    if folder != Path.cwd():
        yield f"  export TOKENTAPE_CONFIG={shlex.quote(str(folder / CONFIG))}"
    yield "  tokentape collect"
    yield "  tokentape cheapest openai/gpt-oss-120b"
    yield "  tokentape daemon --serve"


KITS = {
    "systemd": Kit(("tokentape.service", "tokentape-serve.service", CONFIG), KEPT, _systemd),
    "container": Kit(("Containerfile", CONFIG), KEPT, _container),
    "compose": Kit(("Containerfile", "compose.yaml", CONFIG), "postgresql://tape@db/tape", _compose),
}
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("folder", type=_FOLDER, default=".", metavar="[DIR]")
@click.option("--systemd", "kit", flag_value="systemd", help="Units of a daemon and a server, hardened.")
@click.option("--container", "kit", flag_value="container", help="A Containerfile, for podman or docker.")
@click.option("--compose", "kit", flag_value="compose", help="That, and a compose file with PostgreSQL.")
@click.pass_context
def init(ctx: click.Context, folder: Path, kit: str | None) -> None:
    """Write a configuration to begin with, and the files by which a machine runs tokentape, into a folder.

    The configuration is tokentape.yaml: what is yours alone, with comments. Nothing that is there is written over. What
    comes next is printed.

    \b
    Examples:
      tokentape init
      tokentape init --systemd /tmp/units
      tokentape --store postgresql://tape@db.example/tape init --container ./deploy
    """
    folder = folder.absolute()
    chosen = KITS[kit] if kit else Kit((CONFIG,), f"sqlite:///{folder / 'tokentape.db'}", _here)
    values = {"@STORE@": json.dumps(_named(ctx) or chosen.store), "@PROGRAM@": str(_program()).replace("%", "%%")}
    _write(folder, chosen.files, values)
    for name in chosen.files:
        click.echo(f"wrote {folder / name}")
    for line in chosen.next_steps(folder):
        click.echo(line)


def _named(ctx: click.Context) -> str | None:
    """The store that the command line names, wherever it will be asked for."""
    store: str | None = ctx.meta[STORE]
    return store if store is None or is_postgres(store) else f"sqlite:///{sqlite_path(store).absolute()}"


def _write(folder: Path, names: tuple[str, ...], values: dict[str, str]) -> None:
    """Write files that are not there: all of them, or none.

    Raises: ConfigError if one of them is there, or cannot be written.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            text = (FILES / name).read_text(encoding="utf-8")
            for mark, value in values.items():
                text = text.replace(mark, value)
            with (folder / name).open("x", encoding="utf-8") as file:
                written.append(folder / name)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise ConfigError(f"{error.filename}: is there already, and nothing is written over") from None
        raise ConfigError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None


def _program() -> Path:
    """The console command of this installation."""
    return Path(sysconfig.get_path("scripts"), "tokentape")
