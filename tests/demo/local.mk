# demo: what forking a virtual machine is, on a real guest.

EXTRA_DIST += tests/demo/demo tests/demo/test-demo.sh
TESTS += tests/demo/test-demo.sh

demo: all
	@bash $(top_srcdir)/tests/demo/demo '$(abs_top_builddir)'
.PHONY: demo
