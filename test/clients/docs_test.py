"""Runs the examples of docs/clients.md, each as it stands.  Speaks TAP."""

import os
import pathlib
import re
import subprocess
import tempfile

import psycopg
from tap import Tap

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "clients.md"
USER = "clients_reader"
tap = Tap()

JAVA = """
import java.sql.*;
import java.util.*;

public class Example {
    public static void main(String[] args) throws Exception {
        JdbcTest.schema = "client_docs";
        try (Connection db = JdbcTest.connect("%s")) {
            example(db);
        }
    }

    %s
}
"""


def prepare(statements):
    """The page's table, for a role that is not its owner."""
    with psycopg.connect(user="postgres") as admin:
        admin.execute("CREATE SCHEMA client_docs")
        admin.execute(f"ALTER ROLE {USER} SET search_path = client_docs, public")
        admin.execute("SET search_path = client_docs, public")
        admin.execute(statements)
        admin.execute(f"GRANT USAGE ON SCHEMA client_docs TO {USER}")
        admin.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON contracts TO {USER}")


def command(language, code, folder):
    if language == "python":
        return ["/usr/bin/python3", "-c", code]
    if language == "js":
        return ["node", "-e", code]
    file = pathlib.Path(folder) / "Example.java"
    file.write_text(JAVA % (USER, code), encoding="utf-8")
    return ["java", str(file)]


def main():
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    prepare("".join(code for language, code in blocks if language == "sql"))
    where = {**os.environ, "PGUSER": USER}
    with tempfile.TemporaryDirectory() as folder:
        for number, (language, code) in enumerate(blocks):
            if language != "sql":
                with tap.case(f"example {number}, {language}"):
                    run = command(language, code, folder)
                    done = subprocess.run(
                        run, env=where, capture_output=True, text=True, check=False, timeout=60
                    )
                    if done.returncode:
                        raise AssertionError(done.stdout + done.stderr)
    with tap.case("laws, at the end"):
        with psycopg.connect(user="postgres") as admin:
            broken = admin.execute("SELECT laws_all()").fetchall()
        if broken:
            raise AssertionError(broken)
    tap.done()


main()
