"""`ringfence deploy` and `ringfence endpoint`: models that answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ringfence.cli.output import AsJson, Json, emit, facts, say, table, text_of, when
from ringfence.cli.session import connect, parsed_json
from ringfence.errors import InvalidError

endpoint = typer.Typer(no_args_is_help=True, help="Endpoints: list, show, ask.")

Name = Annotated[str, typer.Argument(help="Name of the endpoint.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: ringfence deploy sepsis-advisor icu-offline@1")(deploy)
    app.add_typer(endpoint, name="endpoint")


def deploy(name: Name, model: Annotated[str, typer.Argument(help="A production version: name@3.")],
           as_json: AsJson = False) -> None:
    """Serve a production model version."""
    with connect() as client:
        view = client.deploy(name, model)
        url = client.url
    emit(view, as_json, lambda _: say(f"{model} answers at {url}/v2/models/{name}/infer. Ask it with "
                                      f"[bold]ringfence endpoint ask {name} OBSERVATION[/]."))


@endpoint.command("list", epilog="Example: ringfence endpoint list")
def list_(as_json: AsJson = False) -> None:
    """List the endpoints."""
    with connect() as client:
        views = client.endpoints()
    emit(views, as_json, lambda _: table(
        "Endpoints", {"name": "name", "model": "model", "by": "deployed_by",
                      "since": lambda row: when(row.get("deployed_at"))},
        views, empty="None yet: `ringfence deploy NAME MODEL`."))


@endpoint.command(epilog="Example: ringfence endpoint show sepsis-advisor")
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one endpoint."""
    with connect() as client:
        view = client.endpoint(name)
    emit(view, as_json, lambda _: facts(view["name"], {key: value for key, value in view.items() if key != "name"}))


@endpoint.command(epilog="Example: ringfence endpoint ask sepsis-advisor 100   (RINGFENCE_TOKEN may hold an API key)")
def ask(name: Name,
        observations: Annotated[list[str], typer.Argument(help="A number or a JSON list each, such as '[0.1, 0.2]'.")],
        as_json: AsJson = False) -> None:
    """Ask an endpoint which action to take, for one observation or several."""
    request = question([parsed_json(text, "observation") for text in observations])
    with connect() as client:
        answer = client.infer(name, request)
    emit(answer, as_json, lambda _: say("\n".join(_actions(answer))))


def question(observations: list[Any]) -> Json:
    """Return the Open Inference Protocol request for a batch of observations, all of one shape.

    Raises:
        InvalidError: they are not numbers or lists of numbers of one shape.
    """
    shapes = {_shape(observation) for observation in observations}
    if len(shapes) != 1:
        raise InvalidError("cli.shapes", "The observations are not all of one shape.", field="observations",
                           fix="Ask for each shape on its own.")
    flat = [number for observation in observations for number in _numbers(observation)]
    whole = all(isinstance(number, int) for number in flat)
    return {"inputs": [{"name": "observation", "shape": [len(observations), *shapes.pop()],
                        "datatype": "INT64" if whole else "FP64", "data": flat}]}


def _shape(value: Any) -> tuple[int, ...]:
    if isinstance(value, list) and value:
        inner = {_shape(part) for part in value}
        if len(inner) == 1:
            return (len(value), *inner.pop())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return ()
    raise InvalidError("cli.observation", "An observation is neither a number nor an even list of numbers.",
                       field="observations", fix="Write 100, or '[0.1, 0.2]'.")


def _numbers(value: Any) -> list[Any]:
    return [number for part in value for number in _numbers(part)] if isinstance(value, list) else [value]


def _actions(answer: Json) -> list[str]:
    output = answer["outputs"][0]
    size = max(1, len(output["data"]) // max(1, output["shape"][0]))
    return [text_of(output["data"][start:start + size]) for start in range(0, len(output["data"]), size)]
