"""``asid ablate plan | run | status | watch | stop | resume | retry …``: studies of many runs."""

import typer

from asid.cli.ablate import diff, keep, plan, run, watch

app = typer.Typer(help="Plan, run, watch and resume studies of many variants.", no_args_is_help=True)
for part in (plan, run, watch, keep, diff):
    app.add_typer(part.app)
