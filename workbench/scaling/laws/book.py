"""The book of published laws: `LAWS`, all entries by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from workbench.scaling.laws.law import Law
from workbench.scaling.laws.loss_by_domain import LOSS_BY_DOMAIN
from workbench.scaling.laws.loss_laws import LOSS_LAWS
from workbench.scaling.laws.memory_and_capacity import MEMORY_AND_CAPACITY
from workbench.scaling.laws.models_and_vocabulary import MODELS_AND_VOCABULARY
from workbench.scaling.laws.quantity import Quantity
from workbench.scaling.laws.rate_and_batch import RATE_AND_BATCH


class LawBook(Mapping[str, Law]):
    """Laws by key; its repr is a table.

    Args:
        laws: the entries, each under its own key.
    """

    def __init__(self, laws: list[Law]) -> None:
        self._laws = {law.key: law for law in laws}

    def __getitem__(self, key: str) -> Law:
        if key not in self._laws:
            raise KeyError(f"no law is called {key!r}; the book has {', '.join(self._laws)}")
        return self._laws[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._laws)

    def __len__(self) -> int:
        return len(self._laws)

    @property
    def table(self) -> pd.DataFrame:
        """One row a law: key, title, gives (unit), from (inputs with ranges), checks, status."""
        rows = [
            (
                law.key, law.title, f"{law.output.symbol}: {law.output.unit}",
                ", ".join(_ranged(quantity) for quantity in law.inputs),
                len(law.checks), law.status, law.source,
            )
            for law in self.values()
        ]  # fmt: skip
        names = ["key", "title", "gives", "from", "checks", "status", "source"]
        return pd.DataFrame(rows, columns=names).set_index("key")

    def __repr__(self) -> str:
        return self.table.drop(columns="source").to_string(max_colwidth=60)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(escape=True))


def _ranged(quantity: Quantity) -> str:
    if quantity.low is None or quantity.high is None:
        return quantity.name
    return f"{quantity.name} {quantity.low:.2g} to {quantity.high:.2g}"


LAWS = LawBook(
    [
        *LOSS_LAWS, *LOSS_BY_DOMAIN, *RATE_AND_BATCH, *MODELS_AND_VOCABULARY,
        *MEMORY_AND_CAPACITY,
    ]
)  # fmt: skip
