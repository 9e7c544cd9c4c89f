# Manual pages and guides.

dist_man_MANS += docs/xlfork.1
EXTRA_DIST += docs/architecture.md
