#!/usr/bin/env python3
"""Refuses an include that runs up the floors, or out of the house.

The order is read from src/CMakeLists.txt, where it stands once.
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
text = (root / "src/CMakeLists.txt").read_text()
floors = re.search(r"set\(VITRINE_FLOORS ([^)]*)\)", text)[1].split()
level = {floor: number for number, floor in enumerate(floors)}
wrong = []

for folder in sorted(path for path in (root / "src").iterdir() if path.is_dir()):
    if folder.name not in level:
        wrong.append(f"src/{folder.name} is no floor: add it to VITRINE_FLOORS in src/CMakeLists.txt")
for source in sorted((root / "src").rglob("*")):
    if source.suffix not in (".h", ".cpp"):
        continue
    here = source.relative_to(root / "src").parts[0]
    for number, line in enumerate(source.read_text().splitlines(), 1):
        include = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not include:
            continue
        there = include[1].split("/")[0]
        place = f"{source.relative_to(root)}:{number}"
        if there not in level:
            wrong.append(f"{place}: \"{include[1]}\" is not written from src/")
        elif level[there] > level[here]:
            wrong.append(f"{place}: {here} includes \"{include[1]}\", which is on a higher floor")

print("\n".join(wrong) or f"{len(floors)} floors, no include runs up: {' < '.join(floors)}")
sys.exit(1 if wrong else 0)
