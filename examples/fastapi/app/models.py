"""What goes in and out.  The tables' constraints judge values once more, and for every client."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

Status = Literal["draft", "open", "closed"]


class NewCustomer(BaseModel):
    name: str
    email: str | None = None


class CustomerPatch(BaseModel):
    name: str = ""
    email: str | None = None


class Customer(NewCustomer):
    id: UUID
    updated_at: datetime
    updated_by: str | None


class NewContract(BaseModel):
    customer_id: UUID
    title: str
    status: Status = "draft"
    cents: int = Field(default=0, ge=0, le=2**53 - 1)


class ContractPatch(BaseModel):
    title: str = ""
    status: Status = "draft"
    cents: int = Field(default=0, ge=0, le=2**53 - 1)


class Contract(NewContract):
    id: UUID
    renews_id: UUID | None
    version: int
    updated_at: datetime
    updated_by: str | None


class RowResult(BaseModel):
    row_number: int
    action: str
    key: dict[str, Any] | None
    sqlstate: str | None
    message: str | None


class Change(BaseModel):
    version: int | None
    operation: str
    valid_from: datetime
    valid_to: datetime | None
    changed_by: str | None
    changes: dict[str, Any] | None
    metadata: dict[str, Any] | None
    traceparent: str | None


class Transfer(BaseModel):
    from_id: UUID
    to_id: UUID
    cents: int = Field(gt=0, le=2**53 - 1)
