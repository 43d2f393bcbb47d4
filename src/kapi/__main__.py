"""The command: `kapi serve`, `kapi kubeconfig`, `kapi check`, `kapi snapshot`, `kapi version`; also
`python -m kapi`.

What the user got wrong costs one line on stderr: exit code 2 for the command line, 1 for what the
system refuses (a port in use, a data directory of another kapi, a key that does not load).
Imports are late, so that `version` and mistakes answer at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import kapi

USAGE = """Usage:
  kapi serve [flags]            run the API server; kapi serve --help lists the flags
  kapi kubeconfig [--raw]       print the line that makes kubectl use it, or the file itself
  kapi check                    verify the store of a server that does not run
  kapi snapshot save FILE       write all that a store holds into a file
  kapi snapshot restore FILE    fill an empty store from it
  kapi version                  print the version

kubeconfig and check take --data-dir, as serve does; snapshot also takes the --etcd flags."""

EXIT_FAILURE = 1
EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    command, rest = (argv[0], argv[1:]) if argv else ("", ())
    if command == "serve":
        return _serve(rest)
    if command == "kubeconfig":
        return _kubeconfig(rest)
    if command == "check":
        return _check(rest)
    if command == "snapshot":
        return _snapshot(rest)
    if command in ("version", "--version"):
        from kapi.handlers.documents.version import KUBERNETES

        print(f"kapi {kapi.__version__} (Kubernetes {'.'.join(map(str, KUBERNETES))})")
        return 0
    if command in ("help", "--help", "-h"):
        print(USAGE)
        return 0
    problem = f"unknown command: {command}" if command else "a command is needed"
    return _fail(f"{problem}; kapi --help lists them", EXIT_USAGE)


def _fail(problem: str, code: int = EXIT_FAILURE) -> int:
    print(f"kapi: {problem}", file=sys.stderr)
    return code


def _serve(argv: Sequence[str]) -> int:
    from kapi.options import parser as option_parser

    try:
        options = option_parser.parse(argv, os.environ)
    except option_parser.HelpWanted:
        print(option_parser.usage())
        return 0
    except option_parser.UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    from kapi import serving

    try:
        serving.run(options, say=lambda line: print(line, flush=True))
    except serving.CannotServe as error:
        return _fail(str(error))
    return 0


def _directory(argv: Sequence[str], *switches: str) -> tuple[Path, Path, set[str]]:
    """The data directory, the kubeconfig, and which of the switches were given."""
    from kapi.options import parser as option_parser

    given = {word for word in argv if word in switches}
    options = option_parser.parse([w for w in argv if w not in switches], os.environ)
    other = options.given - {"data_dir", "kubeconfig"}
    if other:
        name = option_parser.flag_name(min(other))
        raise option_parser.UsageError(f"{name} is a flag of kapi serve")
    directory = Path(options.data_dir)
    kubeconfig = Path(options.kubeconfig) if options.kubeconfig else directory / "kubeconfig"
    return directory, kubeconfig, given


def _kubeconfig(argv: Sequence[str]) -> int:
    from kapi.credentials import local as local_credentials
    from kapi.options import parser as option_parser

    try:
        _, path, given = _directory(argv, "--raw")
    except option_parser.HelpWanted:
        print(USAGE)
        return 0
    except option_parser.UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    if not path.is_file():
        return _fail(f"{path} is not there: kapi serve writes it at its first start")
    if "--raw" not in given:
        print(local_credentials.export_line(path))
        return 0
    try:
        print(path.read_text(), end="")
    except OSError as error:
        return _fail(f"cannot read {path}: {error.strerror}")
    return 0


def _check(argv: Sequence[str]) -> int:
    from kapi.options import parser as option_parser

    try:
        directory, _, _ = _directory(argv)
    except option_parser.HelpWanted:
        print(USAGE)
        return 0
    except option_parser.UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    from kapi import serving

    try:
        problems, summary = serving.check(directory)
    except serving.CannotServe as error:
        return _fail(str(error))
    for problem in problems:
        print(problem)
    print(summary)
    return EXIT_FAILURE if problems else 0


def _snapshot(argv: Sequence[str]) -> int:
    from kapi.options import parser as option_parser

    words = [word for word in argv[:2] if not word.startswith("-")]
    try:
        options = option_parser.parse(argv[len(words) :], os.environ)
    except option_parser.HelpWanted:
        print(USAGE)
        return 0
    except option_parser.UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    if len(words) != 2 or words[0] not in ("save", "restore"):
        return _fail("kapi snapshot save FILE, or kapi snapshot restore FILE", EXIT_USAGE)
    from kapi import snapshots
    from kapi.storage.interface import StorageError

    other = options.given - snapshots.FLAGS
    if other:
        name = option_parser.flag_name(min(other))
        return _fail(f"{name} is a flag of kapi serve", EXIT_USAGE)
    path = Path(words[1])
    try:
        if words[0] == "save":
            print(snapshots.save(options, path))
        else:
            print(snapshots.restored(options, path, lambda line: print(line, flush=True)))
    except StorageError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{path}: {error.strerror or error}")
    return 0


if __name__ == "__main__":
    main()
