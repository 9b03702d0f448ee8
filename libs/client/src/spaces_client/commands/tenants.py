"""Commands about tenants: whose data is kept apart. Admins only."""

from typing import Annotated

import typer

from spaces_client.client import AsyncSpaces
from spaces_client.commands.output import Output
from spaces_client.commands.session import Json, run


def build() -> typer.Typer:
    """The group `spaces tenants`."""
    app = typer.Typer(
        help="Tenants: whose spaces and requests are kept apart.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command()(create)
    app.command(name="list")(list_tenants)
    return app


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name.")],
    *,
    as_json: Json = False,
) -> None:
    """Make a tenant."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        tenant = await spaces.create_tenant(name)
        if as_json:
            out.document(tenant)
        else:
            out.fields({"tenant": tenant.name, "id": tenant.tenant_id})

    run(ctx, out, work)


def list_tenants(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List tenants."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        tenants = await spaces.list_tenants()
        if as_json:
            for tenant in tenants:
                out.document(tenant)
        else:
            rows = [(tenant.name, tenant.tenant_id, tenant.created_at) for tenant in tenants]
            out.rows(("tenant", "id", "created"), rows)

    run(ctx, out, work)
