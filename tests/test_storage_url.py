"""`--storage` is checked before anything is opened."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import text

from nas.storage_url import check_storage_url, redacted, storage_file
from search_spaces.errors import InputError


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///runs/roads/study.db",
        "sqlite:////abs/study.db",
        "journal:runs/roads.log",
        "grpc://10.0.0.1:13000",
        "postgresql:///name?host=/run/postgresql",
        "postgresql://slimlab@db.internal/slimlab",
        "postgresql+psycopg://me:p%40ss@db:5432/name",
        "postgresql://me:secret@[::1]:5432/name?sslmode=require",
    ],
)
def test_every_documented_form_is_accepted(url: str) -> None:
    check_storage_url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no such kind"),
        ("study.db", "no such kind"),
        ("redis://somewhere", "no such kind"),
        ("sqlite://", "the file is missing"),
        ("sqlite:///", "the file is missing"),
        ("sqlite:study.db", "the file is missing"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///runs/what?/study.db", r"with \? cannot"),
        ("sqlite:////", "the file is missing"),
        ("sqlite:////tmp", "that is a folder"),
        ("journal:", "the file is missing"),
        ("journal:/tmp", "that is a folder"),
        ("grpc://", "the host is missing"),
        ("grpc://host", "the port is missing"),
        ("grpc://host:0", "its port is not a number"),
        ("grpc://host:port", "its port is not a number"),
        ("grpc://host:99999", "its port is not a number"),
        ("grpc://me@host:1", "neither user nor path"),
        ("postgresql://", "the host is missing"),
        ("postgresql:me@host/name", "the host is missing"),
        ("postgresql://me:secret@host", "name of the database is missing"),
        ("postgresql://me:secret@host:x/name", "its port is not a number"),
    ],
)
def test_a_malformed_address_is_one_line_without_password(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        check_storage_url(url)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith("--storage ") and "; give " in message
    assert "secret" not in message


@given(text(), text(alphabet="abc:/@?#% ", min_size=1))
def test_no_password_is_shown(user: str, password: str) -> None:
    secret = f"S3CRET{password}S3CRET"
    for url in (f"postgresql://{user}:{secret}@host/name", f"postgresql:{secret}@host/name", f"x:{secret}@"):
        assert "S3CRET" not in redacted(url)


def test_the_file_of_a_storage() -> None:
    assert storage_file("sqlite:///runs/a/study.db") == Path("runs/a/study.db")
    assert storage_file("sqlite:////abs/study.db") == Path("/abs/study.db")
    assert storage_file("journal:runs/roads.log") == Path("runs/roads.log")
    assert storage_file("grpc://host:1") is None


def test_checking_an_address_imports_no_heavy_package() -> None:
    code = "import sys, nas.storage_url; print(sorted({'optuna', 'sqlalchemy', 'torch', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert found.stdout.strip() == "[]"
