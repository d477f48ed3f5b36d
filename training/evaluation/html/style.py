"""The style sheet of the page: light or dark as the reader's system says, and fit for printing."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1a202c; --soft: #64707f; --line: #e3e7ec;
  --accent: #2563eb; --wrong: #d9480f; --many: #a9b4c2;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #b8860b; --c5: #56b4e9; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1b212a; --ink: #e6eaf0; --soft: #94a1b2;
  --line: #2c3542; --accent: #6ea0ff; --wrong: #ff8a4c; --many: #566274; --c0: #4aa8e0; --c1: #ff8a4c; --c2: #35c79b;
  --c4: #e0b040; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0 0 14px; } h3 { font-size: 14px; margin: 18px 0 6px; }
.lead { color: var(--soft); margin: 4px 0 24px; overflow-wrap: anywhere; }
.note, small { color: var(--soft); font-size: 13px; } .note:empty { display: none; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px; min-width: 0; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 18px; margin: 18px 0; }
.grid2 + section, section + section { margin-top: 18px; } .grid2 section + section { margin-top: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin-bottom: 18px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 18px; }
.tile b { display: block; font-size: 30px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); font-size: 12.5px; } tbody tr:last-child > * { border-bottom: 0; }
tbody th small { display: block; line-height: 1.3; }
.figure, thead th:not(:first-child) { text-align: right; white-space: nowrap; } .wide { width: 34%; }
.bar { height: 12px; border-radius: 3px; background: var(--accent); min-width: 2px; }
.meter { display: inline-block; width: 64px; height: 7px; border-radius: 4px; background: var(--line);
  margin-left: 8px; text-align: left; } .meter i { display: block; height: 100%; border-radius: 4px;
  background: var(--accent); }
.scroll { overflow-x: auto; min-width: 0; } .beside { display: flex; flex-wrap: wrap; gap: 8px 40px; }
svg { width: 100%; height: auto; max-width: none; display: block; }
svg text { fill: var(--soft); font: 11.5px system-ui, sans-serif; } svg .axis { fill: var(--ink); }
svg .grid { stroke: var(--line); } .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.curve.many { stroke: var(--many); stroke-width: .9; } .curve:hover { stroke-width: 4; }
.curve.mean { stroke: var(--ink); stroke-width: 3.2; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; margin: 8px 0 0 46px; }
.key { display: inline-block; width: 16px; height: 3px; border-radius: 2px; margin: 0 6px 3px 0; }
.key.mean { background: var(--ink); } .key.many { background: var(--many); }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); } .key.c0 { background: var(--c0); }
.key.c1 { background: var(--c1); } .key.c2 { background: var(--c2); } .key.c3 { background: var(--c3); }
.key.c4 { background: var(--c4); } .key.c5 { background: var(--c5); }
.cell.right { fill: var(--accent); } .cell.wrong { fill: var(--wrong); }
svg .count { fill: var(--ink); } svg .count.bright { fill: #fff; }
li { overflow-wrap: anywhere; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
@media (max-width: 480px) { .grid2 { grid-template-columns: 1fr; } }
"""
