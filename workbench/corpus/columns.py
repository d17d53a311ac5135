"""The columns that the user named, found in rows and schemas of any format.

A column is named by its literal name, or by a path into nested columns ("meta.pile_set_name"). The
domain may also come from the folder that a file lies in; `Document.domain_from` says which it was.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypedDict

import pyarrow as pa

from workbench.core.nested_columns import outer_names, steps_to
from workbench.corpus.document import CorpusError, Document, MissingColumn

FOLDER = "/"  # as the name of the domain's column: the sub-folder that a file lies in
_ABSENT = object()
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_NESTED = 'A dot looks into nested columns, as in "meta.source". '


class RawRow(NamedTuple):
    """A row as its reader found it, before anything is known of its values.

    Attributes:
        source: the name of its source.
        row: its number in the source, from 0.
        id: the value of the id's column; None where there is none.
        text: the value of the text's column; None where there is none.
        domain: the value of the domain's column; None where there is none.
        folder: the domain of its file, for a row that has none of its own.
        carried: the values of the other columns that were asked for.
    """

    source: str
    row: int
    id: Any
    text: Any
    domain: Any
    folder: str | None = None
    carried: Mapping[str, Any] | None = None


class Named(TypedDict):
    """The names by role, as `read_corpus` takes them.

    Attributes:
        id: the column of the id.
        text: the column of the text.
        domain: the column of the domain, FOLDER, or None for one domain.
    """

    id: str
    text: str
    domain: str | None


@dataclass(frozen=True)
class Columns:
    """The column names that the user gave, by their roles.

    The last three fields belong to the source that is being read, see `within` and `labelled`.

    Attributes:
        id: the column of the id.
        text: the column of the text.
        domain: the default "domain" is a column where there is one, and the sub-folder of the file
            elsewhere; any other name is a column that has to be there (or a key of a folder
            `key=value`); FOLDER is the sub-folder whatever columns there are; None is one domain
            for all.
        carry: other columns, whose values go along with each document; each has to be there.
        folder: the domain of the source by its folder.
        keyed: whether a folder `key=value` names the domain, if with null.
        labels: the names of the classes, where the domain is a ClassLabel.
    """

    id: str = "id"
    text: str = "text"
    domain: str | None = "domain"
    carry: tuple[str, ...] = ()
    folder: str | None = None
    keyed: bool = False  # a folder `key=value` names the domain, if with null
    labels: tuple[str, ...] = field(default=(), repr=False)

    def named(self) -> Named:
        """The names that the user gave."""
        return {"id": self.id, "text": self.text, "domain": self.domain}

    def within(self, name: str, folder: str | None) -> Columns:
        """These columns for one source.

        Args:
            name: of the source, whose folders may be called `key=value`.
            folder: the sub-folder that its file lies in, if it is a file of a folder.
        """
        keys = dict(_pairs(name.split("/")[:-1]))
        if self.domain == FOLDER:
            value = folder
        elif self.domain == "domain":
            value = keys.get("domain", folder)
        else:
            value = None if self.domain is None else keys.get(self.domain)
        return replace(self, folder=value, keyed=self.domain in keys)

    def labelled(self, schema: pa.Schema) -> Columns:
        """These columns with the names of the classes, if the domain is a ClassLabel of `datasets`.

        A ClassLabel stores the numbers of its classes.

        Args:
            schema: the schema of the source, whose metadata may hold the names.
        """
        if self._domain_column is None:
            return self
        try:
            stated = json.loads((schema.metadata or {})[b"huggingface"])
            names = _value_at(stated["info"]["features"], self._domain_column)["names"]
            if all(isinstance(name, str) for name in names):
                return replace(self, labels=tuple(names))
        except (LookupError, TypeError, ValueError, RecursionError):
            pass
        return self

    @property
    def _domain_column(self) -> str | None:
        return None if self.domain == FOLDER else self.domain

    @property
    def _roles(self) -> list[tuple[str, str, bool]]:
        """Role and name of each column, and whether it must be there."""
        roles = [("id", self.id, self.id != "id"), ("text", self.text, True)]
        if (domain := self._domain_column) is not None:
            roles.append(("domain", domain, domain != "domain" and not self.keyed))
        return roles + [("carry", name, True) for name in self.carry]

    def check(self, present: pa.Schema | Iterable[Any], source: str) -> list[str]:
        """The wanted columns of those that are present.

        Args:
            present: a schema, whose nested columns come out as their paths, or the names of the
                outermost columns, of which those that may hold a wanted one come out.
            source: what to call it in an error.

        Raises:
            CorpusError: a needed column is not there, or there are several of one name.
        """
        schema = present if isinstance(present, pa.Schema) else None
        names = list(present.names if isinstance(present, pa.Schema) else present)
        wanted: dict[str, None] = {}
        for role, name, needed in self._roles:
            if names.count(name) > 1:
                raise CorpusError(f"{source}: several columns are called {name!r}; keep one.")
            if name in names or (schema is not None and steps_to(schema, name)):
                wanted[name] = None
            elif schema is None and (
                outer := [head for head in outer_names(name) if head in names]
            ):
                wanted |= dict.fromkeys(outer)
            elif needed:
                raise self.lacking(role, name, source, names)
        return list(wanted)

    def lacking(self, role: str, name: str, source: str, present: Iterable[Any]) -> CorpusError:
        """The error for a column that is not there.

        Args:
            role: "id", "text", "domain" or "carry".
            name: the name of the column.
            source: what to call the source.
            present: the columns that are there.
        """
        purpose = "to carry along" if role == "carry" else f"for the {role}"
        names = list(present)
        return MissingColumn(
            f"{source}: no column {name!r} {purpose}; present: {names!r:.300}. "
            f"{_NESTED if '.' in name else ''}Name the right one with {role}=...",
            role, names,
        )  # fmt: skip

    def missing(self, fields: Mapping[Any, Any]) -> list[tuple[str, str]]:
        """Role and name of the needed columns that a row does not have.

        Args:
            fields: the row, as a dict.
        """
        return [
            (role, name)
            for role, name, needed in self._roles
            if needed and _value_at(fields, name) is _ABSENT
        ]

    def pick(self, fields: Mapping[Any, Any], source: str, row: int) -> RawRow:
        """The values of a row of dicts, or of a row whose names are those that `check` gave.

        Args:
            fields: the row, as a dict.
            source: the name of its source.
            row: its number in the source.
        """
        domain = None
        if (column := self._domain_column) is not None:
            domain = self._label(_value(fields, column))
        carried = {name: _value(fields, name) for name in self.carry} or None
        own_id, text = _value(fields, self.id), _value(fields, self.text)
        return RawRow(source, row, own_id, text, domain, self.folder, carried)

    def carried(self, document: Document) -> dict[str, Any] | None:
        """What is to go along with a document that was read before, null where it has no such.

        Args:
            document: the document.
        """
        return {name: document.carried.get(name) for name in self.carry} or None

    def _label(self, value: Any) -> Any:
        if not self.labels or type(value) is not int:
            return value
        if value == -1:  # no label, says the library
            return None
        return self.labels[value] if 0 <= value < len(self.labels) else value


def folder_domain(above: list[str]) -> str | None:
    """The domain of a file by the folders that it lies in.

    Args:
        above: the names of the folders, the outermost first.

    Returns:
        The name of the first one; of a folder `key=value`, as Hive and Spark write them, the value;
        None without any folder.
    """
    if not above:
        return None
    (_, value), *_ = [*_pairs(above[:1]), ("", above[0])]
    return value


def _pairs(folders: Iterable[str]) -> Iterable[tuple[str, str | None]]:
    for folder in folders:
        key, is_pair, value = folder.partition("=")
        if key and is_pair and value:
            yield key, None if value == _HIVE_NULL else urllib.parse.unquote(value)


# ---- paths into nested columns ----------------------------------------------------------------


def _value_at(fields: Mapping[Any, Any], path: str) -> Any:
    """The value that `path` means in nested dicts, or _ABSENT."""
    if path in fields:
        return fields[path]
    for head in outer_names(path):
        inner = fields.get(head)
        if isinstance(inner, Mapping):
            value = _value_at(inner, path[len(head) + 1 :])
            if value is not _ABSENT:
                return value
    return _ABSENT


def _value(fields: Mapping[Any, Any], path: str) -> Any:
    value = _value_at(fields, path)
    return None if value is _ABSENT else value
