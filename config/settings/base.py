"""The base of all sections of the option file, and the types that their options share."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _checked_network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


AETitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]+$")
]
Port = Annotated[int, Field(ge=0, le=65535)]
WebAddress = Annotated[str, StringConstraints(pattern=r"^(https?://\S+)?$")]
MailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
Network = Annotated[str, AfterValidator(_checked_network)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]

# Defined terms of Specific Character Set without code extensions (PS3.3 C.12.1.1.2).
CharacterSet = Annotated[
    str, StringConstraints(pattern=r"^(ISO_IR (100|101|109|110|144|127|126|138|148|203|13|166|192)|GB18030|GBK)$")
]


class Section(BaseModel):
    """A section of the option file: values cannot change, unknown options are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
