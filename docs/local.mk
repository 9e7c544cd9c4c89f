# Manual pages and guides.

dist_man_MANS += docs/xlfork.1 docs/xlfork.cfg.5
EXTRA_DIST += docs/architecture.md
