"""`ringfence account`, `key` and `policy`: who may do what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.output import AsJson, Json, emit, facts, say, table
from ringfence.cli.session import connect, read_text, require_writable, write_secret

account = typer.Typer(no_args_is_help=True, help="Accounts: create, list, disable.")
key = typer.Typer(no_args_is_help=True, help="API keys: create, revoke.")
policy = typer.Typer(no_args_is_help=True, help="The project's own rules: add, list.")

Name = Annotated[str, typer.Argument(help="Name of the account.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(account, name="account")
    app.add_typer(key, name="key")
    app.add_typer(policy, name="policy")


@account.command(epilog="Example: ringfence account create stella.steward --role data_steward")
def create(*, name: Name, role: Annotated[list[str], typer.Option(help="A role; may be repeated.")],
           kind: Annotated[str, typer.Option(help="person or service.")] = "person",
           person: Annotated[str, typer.Option(help="The human behind it, where that is not the name.")] = "",
           password_file: Annotated[Path | None, typer.Option(help="Put the first password here (mode 0600).")] = None,
           as_json: AsJson = False) -> None:
    """Create an account. A person's first password is random and shown this once."""
    require_writable(password_file)
    with connect() as client:
        view = client.create_account(name, kind=kind, roles=role, person=person)
    if password_file and view.get("password"):
        write_secret(password_file, str(view.pop("password")))
    emit(view, as_json, _show_account)


def _show_account(view: Json) -> None:
    facts("Created.", {"Account": view["name"], "Roles": view.get("roles"),
                       "Password (shown once)": view.get("password")})


@account.command("list", epilog="Example: ringfence account list")
def list_(as_json: AsJson = False) -> None:
    """List the accounts."""
    with connect() as client:
        views = client.accounts()
    emit(views, as_json, lambda _: table("Accounts", {"name": "name", "kind": "kind", "roles": "roles",
                                                      "disabled": "disabled"}, views, empty="None."))


@account.command(epilog="Example: ringfence account disable stella.steward")
def disable(name: Name, as_json: AsJson = False) -> None:
    """End an account: its sessions and keys stop working at once."""
    with connect() as client:
        view = client.disable_account(name)
    emit(view, as_json, lambda _: say(f"{name} is disabled."))


@key.command("create", epilog="Example: ringfence key create bedside-monitor --scope endpoint.ask:sepsis --days 30")
def create_key(*, name: Name,
               scope: Annotated[list[str] | None, typer.Option(help="What it may do; may repeat.")] = None,
               days: Annotated[int, typer.Option(min=1, max=365, help="How long it lives.")] = 90,
               secret_file: Annotated[Path | None, typer.Option(help="Put the secret here (mode 0600).")] = None,
               as_json: AsJson = False) -> None:
    """Create an API key for an account; its secret is shown this once."""
    require_writable(secret_file)
    with connect() as client:
        view = client.create_key(name, scopes=scope or [], days=days)
    if secret_file:
        write_secret(secret_file, str(view.pop("secret")))
    emit(view, as_json, lambda _: facts("Created.", {"Id": view["id"], "Secret (shown once)": view.get("secret")}))


@key.command(epilog="Example: ringfence key revoke key-0g3kq7v1x9mz")
def revoke(identifier: Annotated[str, typer.Argument(help="Id of the key.")], as_json: AsJson = False) -> None:
    """Revoke an API key at once."""
    with connect() as client:
        client.revoke_key(identifier)
    emit({"id": identifier, "revoked": True}, as_json, lambda _: say(f"{identifier} is revoked."))


@policy.command(epilog="Example: ringfence policy add icu-stays-release release.rego")
def add(name: Annotated[str, typer.Argument(help="Name of the module.")],
        file: Annotated[Path, typer.Argument(help="Rego of the package ringfence.project.NAME; it can only deny.")],
        as_json: AsJson = False) -> None:
    """Add a rule module to the project."""
    with connect() as client:
        view = client.add_policy(name, read_text(file))
    emit(view, as_json, lambda _: say(f"Added {name}. It counts from now on."))


@policy.command("list", epilog="Example: ringfence policy list")
def list_policies(as_json: AsJson = False) -> None:
    """List the project's rule modules."""
    with connect() as client:
        views = client.policies()
    emit(views, as_json, lambda _: table("Policies", {"name": "name", "added by": "added_by", "digest": "digest"},
                                         views, empty="None: the shipped rules alone decide."))
