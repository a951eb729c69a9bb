"""Start, stop and look at the platform; log in; the quickstart."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.output import AsJson, Json, emit, facts, say, table
from ringfence.cli.session import connect, current_context, remember
from ringfence.errors import InvalidError, MissingError, UnauthenticatedError
from ringfence.paths import default_home

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port to listen on.")]
DEMO = "demo, for ever: made by `ringfence quickstart`, no place for real records"
contexts = typer.Typer(no_args_is_help=True, help="Platforms that this command line knows.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: ringfence up --port 9443")(up)
    app.command(epilog="Example: ringfence down")(down)
    app.command(epilog="Example: ringfence status --json")(status)
    app.command(epilog="Example: ringfence doctor")(doctor)
    app.command(epilog="Example: ringfence login --bootstrap")(login)
    app.command(epilog="Example: ringfence whoami")(whoami)
    app.command(epilog="Example: ringfence quickstart --stays 20000")(quickstart)
    app.add_typer(contexts, name="context")
    contexts.command("list", epilog="Example: ringfence context list")(list_contexts)
    contexts.command("use", epilog="Example: ringfence context use hospital")(use_context)


def up(port: Port = None, foreground: Annotated[bool, typer.Option(help="Stay in this terminal.")] = False,
       as_json: AsJson = False) -> None:
    """Start the platform on this machine, unless it runs, and wait until it answers."""
    from ringfence.client.contexts import LOCAL, Context, Contexts
    from ringfence.supervisor import control
    from ringfence.supervisor.home import Home

    path = default_home()
    home, known = Home(path), Contexts.load(path).entries.get(LOCAL, Context(LOCAL, ""))
    if foreground:
        url = _url(port)
        remember(Context(LOCAL, url, str(home.authority_file), known.token, known.account))
        say(f"Ringfence answers at {url} until Ctrl-C.")
        control.foreground(path, port)
    state = control.up(path, port)
    remember(Context(LOCAL, state.url, str(home.authority_file), known.token, known.account))
    first = home.bootstrap_file.exists()
    emit({"url": state.url, "ca": str(home.authority_file), "home": str(path), "version": state.version,
          "demo": home.is_demo, "login": f"ringfence login{' --bootstrap' if first else ''}"}, as_json, _show_up)


def _url(port: int | None) -> str:
    from ringfence.settings import load

    server = load().server
    return server.model_copy(update={"port": port}).url if port else server.url


def _show_up(started: Json) -> None:
    facts("Ringfence is up.", {"URL": started["url"], "Authority": started["ca"], "Home": started["home"],
                               "Marked": DEMO if started["demo"] else ""})
    what = "Create the first administrator" if "--bootstrap" in started["login"] else "Log in"
    say(f"\n{what} with [bold]{started['login']}[/]. Stop it with [bold]ringfence down[/].")


def down(as_json: AsJson = False) -> None:
    """Stop the platform on this machine, with everything that it runs."""
    from ringfence.supervisor import control

    stopped = control.down(default_home())
    emit({"stopped": stopped}, as_json, lambda _: say("Stopped." if stopped else "It was not running."))


def status(as_json: AsJson = False) -> None:
    """Say how the platform does: version, worker, what the fences enforce, how far the audit sinks are."""
    with connect() as client:
        view = {"url": client.url, **client.status()}
    emit(view, as_json, _show_status)


def _show_status(view: Json) -> None:
    facts("", {"URL": view["url"], "Version": view["version"], "Marked": DEMO if view.get("demo") else "",
               "Worker": "alive" if view["worker"]["alive"] else "down", "Problem": view.get("sandbox_problem", "")})
    table("Fences", {"guarantee": "name", "enforced": "enforced", "how": "detail"}, view.get("guarantees", []),
          empty="No fence can be had: run `ringfence doctor`.")
    if view.get("audit_sinks"):
        table("Audit sinks", {"sink": "name", "holds up to": "delivered", "behind": "behind", "problem": "problem",
                              "incidents": lambda row: "\n".join(f"{one['time']} {one['problem']}"
                                                                 for one in row["incidents"])},
              view["audit_sinks"], empty="")


def doctor(as_json: AsJson = False) -> None:
    """Check this machine: what is missing, what that costs, and how to get it."""
    import json
    import subprocess

    # In a process of its own, as it loads the sandbox's native parts.
    finished = subprocess.run([sys.executable, "-m", "ringfence.doctor"], capture_output=True, text=True, check=False)
    if finished.returncode not in (0, 1) or not finished.stdout:
        raise MissingError("doctor.failed", f"The checks could not run: {finished.stderr.strip()[-300:]}",
                           fix="Install Ringfence again.")
    report = json.loads(finished.stdout)
    emit(report, as_json, _show_doctor)
    raise typer.Exit(finished.returncode)


def _show_doctor(report: Json) -> None:
    from rich.console import Console
    from rich.markup import escape

    marks = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]"}
    console = Console(highlight=False)
    for check in report["checks"]:
        console.print(f"{marks[check['state']]} [bold]{escape(check['name'])}[/]  {escape(check['detail'])}")
        if check["state"] != "ok":
            console.print(f"    costs: {escape(check['cost'])}\n    fix:   {escape(check['fix'])}")
    console.print(f"\n{escape(report['summary'])}")


def login(name: Annotated[str, typer.Argument(help="Account name.")] = "", *,
          url: Annotated[str, typer.Option(help="A remote platform's URL.")] = "",
          ca: Annotated[Path | None, typer.Option(help="The remote platform's authority (PEM).")] = None,
          save_as: Annotated[str, typer.Option("--as", help="Keep the session in this context.")] = "",
          bootstrap: Annotated[bool, typer.Option("--bootstrap", help="Create the first administrator.")] = False,
          password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read it from stdin.")] = False,
          as_json: AsJson = False) -> None:
    """Log in, or create the first administrator with the token in the platform's home."""
    from ringfence.client import Client
    from ringfence.client.contexts import Context

    known = current_context() if not url else Context("remote", url, str(ca.absolute()) if ca else "")
    context = replace(known, name=save_as or known.name)
    name = name or _asked("Account name")
    with Client(context.url, Path(context.ca) if context.ca else None) as client:
        if bootstrap:
            token = _bootstrap_token()
            password = _password(password_stdin, confirm=True)
            client.bootstrap(token, name, password)
        else:
            password = _password(password_stdin, confirm=False)
        session = client.login(name, password)
    remember(Context(context.name, context.url, context.ca, session["token"], name))
    shown = {"account": name, "roles": session["actor"]["roles"], "expires_at": session["expires_at"],
             "url": context.url}
    emit(shown, as_json, lambda _: say(f"Logged in to {context.url} as [bold]{name}[/] until {session['expires_at']}."))


def _asked(what: str) -> str:
    if not sys.stdin.isatty():
        raise InvalidError("cli.no_terminal", f"{what} is missing, and there is no terminal to ask in.",
                           fix="Give it as an argument.", field=what)
    return str(typer.prompt(what, err=True))


def _password(from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise InvalidError("cli.no_terminal", "There is no terminal to ask for the password in.",
                           fix="Use --password-stdin.", field="password")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True))


def _bootstrap_token() -> str:
    from ringfence.supervisor.home import Home

    file = Home(default_home()).bootstrap_file
    try:
        return file.read_text().strip()
    except OSError:
        raise UnauthenticatedError("login.no_bootstrap", f"There is no bootstrap token at {file}.",
                                   fix="The platform has its administrator already: log in without --bootstrap; or "
                                       "restart a new platform for a new token.") from None


def whoami(as_json: AsJson = False) -> None:
    """Say who is logged in, and with which roles."""
    with connect() as client:
        actor = client.whoami()
        view = {**actor, "url": client.url}
    emit(view, as_json, lambda _: facts("", {"Account": actor["name"], "Kind": actor["kind"], "Roles": actor["roles"],
                                            "Project": actor["project"], "Scopes": actor["scopes"],
                                            "Platform": view["url"]}))


def quickstart(*, stays: Annotated[int, typer.Option(min=4000, help="Intensive-care stays to draw.")] = 20_000,
                  seed: Annotated[int, typer.Option(help="Seed of the drawn stays.")] = 7,
                  online_steps: Annotated[int, typer.Option(min=0, help="Simulator steps; 0: as the run says.")] = 0,
                  episodes: Annotated[int, typer.Option(min=0, help="Evaluation episodes; 0: as the run says.")] = 0,
                  port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0: one that is free.")] = 0,
                  keep_running: Annotated[bool, typer.Option(help="Leave the platform up at the end.")] = True,
                  as_json: AsJson = False) -> None:
    """Tell the whole story on this machine: sensitive data in, a signed agent that answers out."""
    from ringfence.quickstart.command import quickstart as tell
    from ringfence.quickstart.story import Options

    summary = tell(default_home(), Options(stays, seed, online_steps, episodes, port, keep_running), as_json=as_json)
    if as_json:
        emit(summary, True, lambda _: None)


def list_contexts(as_json: AsJson = False) -> None:
    """List the platforms that this command line knows."""
    from ringfence.client.contexts import Contexts

    known = Contexts.load(default_home())
    rows = [{"name": entry.name, "url": entry.url, "account": entry.account, "current": entry.name == known.current}
            for entry in known.entries.values()]
    emit(rows, as_json, lambda _: table("Contexts", {"name": "name", "URL": "url", "account": "account",
                                                     "current": "current"}, rows,
                                        empty="None yet: `ringfence up` or `ringfence login --url`."))


def use_context(name: Annotated[str, typer.Argument(help="Name of the context.")], as_json: AsJson = False) -> None:
    """Talk to another platform from now on."""
    from ringfence.client.contexts import Contexts

    known = Contexts.load(default_home())
    known.with_context(known.get(name)).save()
    emit({"current": name}, as_json, lambda _: say(f"Talking to {known.get(name).url} from now on."))
