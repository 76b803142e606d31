"""Types and handlers that values are mapped for."""

import inspect
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field
from typing_extensions import TypeAliasType

from levante.definition.mapping import handler_input
from levante.definition.schemas import Owner
from levante.errors import ErrorCode

OWNER = Owner("it 'x'", ErrorCode.WORKFLOW_DEFINITION_ERROR)
T = TypeVar("T")


class Item(BaseModel):
    sku: str
    count: int = 1


class Order(BaseModel):
    items: list[Item]
    note: str | None = None


class Card(BaseModel):
    number: str


class Cash(BaseModel):
    amount: int
    number: str | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Aliased(BaseModel):
    given_name: str = Field(alias="givenName")

    @computed_field
    def greeting(self) -> str:
        return f"hello {self.given_name}"


class Node(BaseModel):
    label: str
    children: "list[Node]" = []


class Names(RootModel[list[str]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class Optional(BaseModel):
    note: str = "none"


class Color(Enum):
    RED = "red"


class NotJson:
    pass


NOT_GIVEN: Any = NotJson()
Payment = TypeAliasType("Payment", Card | Cash)


class Handlers:
    """One method per shape of parameters."""

    def nothing(self) -> None: ...
    def one_model(self, order: Order) -> None: ...
    def one_primitive(self, name: str) -> None: ...
    def optional_primitive(self, name: str | None = None) -> None: ...
    def several(self, name: str, times: int = 2, *, loud: bool = False) -> None: ...
    def model_and_more(self, order: Order, urgent: bool) -> None: ...  # noqa: FBT001
    def union(self, payment: Card | Cash) -> None: ...
    def nullable_union(self, payment: Card | Cash | None) -> None: ...
    def nullable_default(self, card: Card | None = Card(number="0")) -> None: ...  # noqa: B008
    def default_model(self, card: Card = Card(number="0")) -> None: ...  # noqa: B008
    def all_defaults(self, options: Optional) -> None: ...
    def open_model(self, thing: Open) -> None: ...
    def aliased(self, person: Aliased) -> None: ...
    def recursive(self, node: Node) -> None: ...
    def root(self, names: Names) -> None: ...
    def generic(self, box: Box[int]) -> None: ...
    def annotated(self, order: Annotated[Order, Field(description="what to ship")]) -> None: ...
    def model_and_rest(self, card: Card, **rest: int) -> None: ...
    def rest(self, name: str, **rest: int) -> None: ...
    def alias_of_union(self, payment: Payment) -> None: ...
    def sentinel(self, color: Color = NOT_GIVEN) -> None: ...


def bind(name: str, value: Any) -> inspect.BoundArguments:
    method = getattr(Handlers, name)
    args, kwargs = handler_input(OWNER, method, {}, takes_extra=True).bind(value)
    return inspect.signature(method).bind(None, *args, **kwargs)


def person(who: Aliased) -> None: ...
def number(value: int) -> None: ...
