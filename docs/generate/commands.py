"""The reference of the command line, from the commands themselves."""

import html
import re

import click
from typer.main import get_command

from headwise.cli import application


def commands_page():
    """Markdown with the usage, description and options of every command."""
    lines = [
        "# Commands",
        "",
        "This page is generated from the commands; `headwise COMMAND --help` prints the same. An error is printed on "
        "one line, with status 2; Ctrl-C is status 130.",
        "",
    ]
    root = get_command(application())
    return "\n".join([*lines, *_commands(root, click.Context(root, info_name="headwise"))])


def _commands(group, parent):
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        context = click.Context(command, info_name=name, parent=parent)
        yield from _section(command, context)
        if isinstance(command, click.Group):
            yield from _commands(command, context)


def _section(command, context):
    usage = " ".join(command.collect_usage_pieces(context))
    help_text = re.sub(r"^ +", "", command.help or "", flags=re.MULTILINE).replace("\b\n", "")
    yield from (f"## {context.command_path}", "", "```console", f"$ {context.command_path} {usage}", "```", "")
    yield from (help_text, "")
    rows = [row for parameter in command.params if (row := _row(parameter, context))]
    if rows:
        yield from ("| option | meaning |", "|---|---|", *rows, "")


def _row(parameter, context):
    if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
        return None
    record = parameter.get_help_record(context)
    if record is None:  # an argument of click itself has no help
        record = (parameter.make_metavar(context), getattr(parameter, "help", "") or "")
    name, text = record
    code = html.escape(" ".join(name.split())).replace("|", "&#124;<wbr>")  # not another cell, but a break
    return f"| <code>{code}</code> | {' '.join(text.split()).replace('|', '&#124;')} |"
