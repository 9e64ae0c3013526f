#!/usr/bin/env python3
"""Checks what a page of the documentation shows.

    tests/docs/check.py SOURCE BUILD PAGE

The page gets an empty folder, with `examples` and `docs` linked into it, the built command first in PATH and
pkg-config pointed at the build. There,
  - a code block after a line <!-- file: NAME --> is written to NAME;
  - a block marked `console` is run: lines that start with "$ " are commands (a backslash at the end
    continues one), the others are what they must print, both streams together. "..." stands for
    any text, and on a line of its own for any lines. A command must succeed unless `echo $?`
    follows it.
Links to files of the tree must lead somewhere.
"""
import os
import re
import subprocess
import sys
import tempfile

FENCE = re.compile(r"```(\w*)\s*$")
MARK = "\x1e"


def blocks(lines):
    """(line number, language, file or None, text lines) of each code block."""
    file, start, language, text = None, 0, None, []
    for number, line in enumerate(lines, 1):
        fence = FENCE.match(line)
        if language is None and fence:
            start, language, text = number, fence.group(1), []
        elif language is not None and line.startswith("```"):
            yield start, language, file, text
            language = file = None
        elif language is not None:
            text.append(line)
        else:
            named = re.match(r"<!-- file: (\S+) -->$", line)
            if named:
                file = named.group(1)
            elif line.strip():
                file = None


def session(text):
    """[command, expected lines] of a console block."""
    steps = []
    more = False
    for line in text:
        if more:
            steps[-1][0] += "\n" + line
        elif line.startswith("$ "):
            steps.append([line[2:], []])
        else:
            steps[-1][1].append(line)
        more = line.endswith("\\") and (more or line.startswith("$ "))
    return steps


def matches(expected, got):
    """Whether the printed lines are the expected ones."""
    if not expected:
        return not got
    if expected[0] == "...":
        return any(matches(expected[1:], got[i:]) for i in range(len(got) + 1))
    if not got:
        return False
    # Of more than three dots the last three are the wildcard: "0...." is "0." and any text.
    pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.(?!\.)", expected[0]))
    return re.fullmatch(pattern, got[0]) is not None and matches(expected[1:], got[1:])


def run(steps, folder, environment):
    """Output and status of each command, all in one shell."""
    script = "".join(
        f"{command}\nstatus_=$?; printf '{MARK}%d{MARK}' $status_; (exit $status_)\n"
        for command, _ in steps
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240,
    )
    parts = done.stdout.split(MARK)
    return list(zip(parts[0:-1:2], parts[1::2]))


def check_session(where, steps, folder, environment):
    faults = 0
    results = run(steps, folder, environment)
    for i, (command, expected) in enumerate(steps):
        if i >= len(results):
            print(f"{where}: the shell ended before: {command}")
            return faults + 1
        output, status = results[i]
        asked = i + 1 < len(steps) and steps[i + 1][0] == "echo $?"
        if status != "0" and not asked:
            print(f"{where}: exit status {status} of: {command}\n{output}")
            faults += 1
        elif not matches(expected, output.splitlines()):
            wanted = "\n".join(expected)
            print(f"{where}: $ {command}\n--- expected\n{wanted}\n--- got\n{output}")
            faults += 1
    return faults


def check_links(page, lines):
    faults = 0
    inside = False
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            inside = not inside
        for target in [] if inside else re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
            if "://" in target or os.path.exists(os.path.join(os.path.dirname(page), target)):
                continue
            print(f"{page}:{number}: nothing at {target}")
            faults += 1
    return faults


def main():
    source, build, page = (os.path.abspath(a) for a in sys.argv[1:4])
    environment = dict(
        os.environ,
        PATH=os.path.join(build, "tools") + os.pathsep + os.environ["PATH"],
        PKG_CONFIG_PATH=os.path.join(build, "meson-uninstalled"),
        LD_LIBRARY_PATH=os.path.join(build, "src"),
        OMP_WAIT_POLICY="passive",
        LC_ALL="C",
    )
    with open(page, encoding="utf-8") as f:
        lines = f.read().split("\n")
    faults = check_links(page, lines)
    ran = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("examples", "docs"):
            os.symlink(os.path.join(source, name), os.path.join(folder, name))
        for number, language, file, text in blocks(lines):
            if file:
                with open(os.path.join(folder, file), "w", encoding="utf-8") as f:
                    f.write("\n".join(text) + "\n")
            if language == "console":
                where = f"{os.path.relpath(page, source)}:{number}"
                steps = session(text)
                ran += len(steps)
                faults += check_session(where, steps, folder, environment)
    print(f"{ran} commands, {faults} faults")
    sys.exit(1 if faults else 0)


main()
