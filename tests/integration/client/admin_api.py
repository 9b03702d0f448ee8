"""Spaces, tenants and credentials of the scripted gateway."""

from typing import Any

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from tests.integration.client.scripted_job import NOW


class AdminApi:
    """What is made and looked up, in memory."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[str, Any]] = {}
        self.tenants = [{"tenant_id": new_id(), "name": "default", "created_at": NOW}]
        self.credentials: list[dict[str, Any]] = []

    def add_space(self, name: str, **fields: Any) -> dict[str, Any]:
        """One more space."""
        tenant = self.tenants[0]
        space = {
            "space_id": new_id(),
            "tenant_id": tenant["tenant_id"],
            "tenant_name": tenant["name"],
            "name": name,
            "enabled": True,
            "inputs": ["prompt"],
            "policy": {},
            "connected": True,
            "connections": 1,
            "created_at": NOW,
            "updated_at": NOW,
        } | fields
        self.spaces[name] = space
        return space

    def space(self, ref: str) -> dict[str, Any] | None:
        """A space by name, tenant/name or id."""
        name = ref.split("/")[-1]
        for space in self.spaces.values():
            if name in (space["name"], space["space_id"]):
                return space
        return None

    def answer(self, method: str, parts: list[str], body: dict[str, Any]) -> Any:
        """What a call gets: JSON, nothing, or a problem."""
        match [method, *parts]:
            case ["GET", "spaces"]:
                return {"spaces": list(self.spaces.values())}
            case ["POST", "spaces"]:
                if body["name"] in self.spaces:
                    return Problem(code=Code.SPACE_NAME_TAKEN)
                return self.add_space(**body)
            case [_, "spaces", ref, *rest]:
                space = self.space(ref)
                if space is None:
                    return Problem(code=Code.SPACE_NOT_FOUND, message=f"No space {ref!r}")
                return self._of_space(method, space, rest, body)
            case ["GET", "tenants"]:
                return {"tenants": self.tenants}
            case ["POST", "tenants"]:
                self.tenants.append(body | {"tenant_id": new_id(), "created_at": NOW})
                return self.tenants[-1]
            case ["GET", "me"]:
                return {"principal_id": new_id(), "kind": "admin", "name": "admin"}
            case [_, "keys" | "worker-tokens" as what, *rest]:
                return self._credential(method, what, rest, body)
            case _:
                return Problem(code=Code.NOT_FOUND, message="/".join(parts))

    def _of_space(
        self, method: str, space: dict[str, Any], rest: list[str], body: dict[str, Any]
    ) -> Any:
        match [method, *rest]:
            case ["GET", "queue"]:
                return {"space_id": space["space_id"], "queue_size": 3, "slots": 1}
            case ["GET", "connections"]:
                return {"connections": []}
            case ["DELETE"]:
                del self.spaces[space["name"]]
                return None
            case ["PATCH"]:
                space["policy"] |= body.pop("policy", {})
                space |= body
        return space

    def _credential(self, method: str, what: str, rest: list[str], body: dict[str, Any]) -> Any:
        kind = "api_key" if what == "keys" else "worker_token"
        if method == "GET":
            same = [made for made in self.credentials if made["principal"]["kind"] == kind]
            return {"credentials": same}
        if method == "DELETE":
            self.credentials = [
                made for made in self.credentials if made["principal"]["principal_id"] != rest[0]
            ]
            return None
        scope = [
            self.spaces[name]["space_id"] for name in body.get("spaces", []) if name in self.spaces
        ]
        principal = {"principal_id": new_id(), "kind": kind, "name": body["name"]}
        made = {
            "principal": principal | {"space_ids": scope},
            "prefix": "sp_abc",
            "created_at": NOW,
        }
        self.credentials.append(made)
        return {"credential": made, "secret": "sp_abcdef"}
