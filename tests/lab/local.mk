# lab: what needs a KVM like hardware's, see README.md.

dist_noinst_SCRIPTS += tests/lab/run tests/lab/bench-lab
EXTRA_DIST += tests/lab/README.md tests/lab/init.c tests/lab/test-lab.sh
TESTS += tests/lab/test-lab.sh
