"""`tokentape alerts`: rules and what became of them, a test of their channels, and a look without a daemon."""

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from collector.cli import read_config
from collector.errors import ConfigError
from collector.held_cli import ListByDefault
from store.doors import FORMAT, RAW, Question, answer, done
from store.errors import StoreMissing

if TYPE_CHECKING:
    from store.alert_rules import Rule
    from store.alert_status import State


@click.group(cls=ListByDefault)
def alerts() -> None:
    """Who is to be told of what: the rules under `alerts` of the configuration, and what became of their messages.

    Each is kept in the store until its channel has taken it, and is sent at least once, with an id by which a receiver
    can tell that it has it already. The daemon judges and sends after polls and every minute; without one, `run` does
    it once.

    \b
    Examples:
      tokentape alerts
      tokentape alerts log --state failed --format csv
      tokentape alerts test gpt-oss
      tokentape alerts run
    """


@alerts.command("list", cls=Question)
@FORMAT
@RAW
@click.pass_context
def list_(ctx: click.Context, form: str, *, raw: bool) -> None:
    """List rules, their channels, and how many of their alerts are pending, sent and failed.

    \b
    Examples:
      tokentape alerts list
      tokentape alerts list --format json
    """
    from store import alert_status

    rules = read_config(ctx).alerts
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(ctx.obj.open())
        except StoreMissing:
            reader = None
        found = alert_status.standings(reader, rules, ctx.obj.now())
    written = answer(form, found, alert_status.STANDINGS, alert_status.standings_table(), raw=raw)
    done(written, "no rules: name some under `alerts` of your configuration")


@alerts.command(cls=Question)
@click.argument("rule", required=False)
@click.option("--state", type=click.Choice(["pending", "sent", "failed"]), help="Only these.")
@FORMAT
@RAW
@click.pass_context
def log(ctx: click.Context, rule: str | None, state: "State | None", form: str, *, raw: bool) -> None:
    """List alerts, of all rules or of one, and what became of each.

    \b
    Examples:
      tokentape alerts log
      tokentape alerts log gpt-oss --state pending
    """
    from store import alert_status

    with ctx.obj.open() as reader:
        found = alert_status.alerts(reader, ctx.obj.now(), rule=rule, state=state)
    written = answer(form, found, alert_status.ALERTS, alert_status.alerts_table(), raw=raw)
    done(written, "no alerts: `tokentape alerts` lists the rules")


@alerts.command()
@click.argument("rule", required=False)
@click.pass_context
def test(ctx: click.Context, rule: str | None) -> None:
    """Send a test message to the channels of all rules, or of one.

    Exits 1 if a channel does not take it.

    \b
    Examples:
      tokentape alerts test
      tokentape alerts test gpt-oss
    """
    from collector.alerts import require, send

    rules = _chosen(read_config(ctx).alerts, rule)
    require()
    failed = False
    for channel in sorted({channel for one in rules for channel in one.channels}):
        names = ", ".join(one.name for one in rules if channel in one.channels)
        body = f"This is a test of the channel of: {names}"
        error = send(channel, "tokentape: a test", body, os.environ)
        failed = failed or error is not None
        click.echo(f"{channel}: {'sent' if error is None else 'failed'} ({names})")
        if error is not None:
            click.echo(f"tokentape: {error}", err=True)
    ctx.exit(1 if failed else 0)


def _chosen(rules: "tuple[Rule, ...]", name: str | None) -> "list[Rule]":
    """The rule of a name, or all.

    Raises: ConfigError if there is none.
    """
    found = [one for one in rules if name is None or one.name == name]
    if not found:
        raise ConfigError("no rules: name some under `alerts`" if name is None else f"no rule {name!r} under `alerts`")
    return found


@alerts.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Judge every rule and send what is due, once: for a timer, where no daemon runs.

    The first run of a rule finds nothing: a rule begins when it is judged first. Exits 1 if a channel does not take
    what it should; that is tried again by a later run.

    \b
    Examples:
      tokentape alerts run
      tokentape collect && tokentape alerts run
    """
    from collector.alerts import require, run_once
    from store.outbox import Outbox

    config = read_config(ctx)
    if config.alerts:
        require()
    with ctx.obj.open():
        pass  # a store that is not there is not made by looking at it
    outbox = Outbox(config.store)
    try:
        new, sent = run_once(config, outbox, os.environ)
    finally:
        outbox.close()
    failed = [one for one in sent if one.error is not None]
    for error in dict.fromkeys(one.error for one in failed):
        click.echo(f"tokentape: {error}", err=True)
    delivered, refused = (sum(one.alerts for one in sent if (one.error is None) == well) for well in (True, False))
    click.echo(f"rules judged: {len(config.alerts)}; alerts: {new} new, {delivered} sent, {refused} not taken")
    ctx.exit(1 if failed else 0)
