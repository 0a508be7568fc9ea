"""The `cloister` command, which is also `kubectl cloister`. Each command stands in a module of its own."""

import sys
from pathlib import Path

import typer

import cloister
from cloister.cli import audit, check, data, explaining, flowmap, guard, keys, linting, rendering, tree, weights
from cloister.cli.verification import verify


def _program(*, completion: bool) -> typer.Typer:
    return typer.Typer(
        help="Zero trust for LLM deployments: look at what a resource means, before and after it is applied.",
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _program(completion=True)


def main() -> None:
    """Entry point of both scripts."""
    if Path(sys.argv[0]).name.startswith("kubectl-"):
        # Without completion: a shell knows `kubectl cloister` as an argument of kubectl, and typer's script for it
        # would take over the completion of kubectl itself.
        plugin = _program(completion=False)
        plugin.add_typer(app)
        plugin(prog_name="kubectl cloister")
    else:
        app(prog_name="cloister")


@app.command()
def run() -> None:
    """Run the operator (in the cluster, or here with your kubeconfig)."""
    from cloister.controller.run import run as run_operator  # noqa: PLC0415  (imports kopf and the client)

    raise typer.Exit(run_operator())


# What a resource means, before it is applied.
app.command()(linting.lint)
app.command()(rendering.render)
app.command("map")(flowmap.map_)
app.command()(explaining.explain)

# What a cluster has made of it.
app.command("check")(check.check_)
app.command()(tree.status)
app.command()(verify)

# Weights, data, keys, prompts and the journal.
app.command()(weights.seal)
app.command()(weights.unseal)
app.command()(weights.sign)
app.add_typer(data.app, name="data")
app.add_typer(keys.app, name="keys")
app.add_typer(guard.app, name="guard")
app.add_typer(audit.app, name="audit")


@app.command()
def version() -> None:
    """Print the version."""
    print(f"cloister {cloister.__version__}")
