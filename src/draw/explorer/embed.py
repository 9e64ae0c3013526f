#!/usr/bin/env python3
"""Writes the explorer's page as C arrays: what stands before the document, and what after it.

    embed.py PAGE.html STYLE.css SCRIPT.js... OUT.h

In the page, the line @style is replaced by the style, @script by the scripts, one after the other,
and @document is where the JSON goes.
"""
import sys


def array(name, text):
    data = text.encode()
    rows = [data[i:i + 24] for i in range(0, len(data), 24)]
    body = ",\n".join(",".join(str(b if b < 128 else b - 256) for b in row) for row in rows)
    return (f"static const char {name}[] = {{\n{body}}};\n"
            f"static const size_t {name}_size = {len(data)};\n")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    page, style, *scripts, out = sys.argv[1:]
    text = read(page)
    text = text.replace("@style\n", read(style)).replace("@script\n", "".join(map(read, scripts)))
    head, tail = text.split("@document")
    with open(out, "w", encoding="utf-8") as file:
        file.write("/* Made by src/draw/explorer/embed.py. */\n#include <stddef.h>\n")
        file.write(array("rill_explorer_page_head", head) + array("rill_explorer_page_tail", tail))


main()
