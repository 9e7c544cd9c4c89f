# demo: what forking a virtual machine is, on a real guest.

EXTRA_DIST += tests/demo/demo

demo: all
	@bash $(top_srcdir)/tests/demo/demo '$(abs_top_builddir)'
.PHONY: demo
