"""The table of actors in guests/README.md, made from the program itself."""

from . import programs

README = programs.SOURCES / "README.md"
BEGIN, END = "<!-- actors: begin -->\n", "<!-- actors: end -->\n"


def renew() -> None:
    README.write_text(_renewed())


def is_fresh() -> bool:
    return README.read_text() == _renewed()


def _renewed() -> str:
    rows = programs.actor_table(programs.actors())
    lines = [f"| `{name}` | {shows}{' *(on request)*' if when == 'request' else ''} |\n" for name, when, shows in sorted(rows)]
    head, rest = README.read_text().split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}| actor | what a test can see |\n|---|---|\n{''.join(lines)}{END}{tail}"
