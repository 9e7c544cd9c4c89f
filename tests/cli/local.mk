# cli: xlfork as its users meet it.

cli_scripts = \
	tests/cli/test-activation.sh \
	tests/cli/test-devstate.sh \
	tests/cli/test-bare-forks.sh \
	tests/cli/test-crash.sh \
	tests/cli/test-dm-pool.sh \
	tests/cli/test-domains.sh \
	tests/cli/test-freeze-at.sh \
	tests/cli/test-fuzz.sh \
	tests/cli/test-fuzz-guest.sh \
	tests/cli/test-many-forks.sh \
	tests/cli/test-usage.sh
cli_scripts += tests/cli/test-cut-off.sh
TESTS += $(cli_scripts)
EXTRA_DIST += $(cli_scripts) tests/cli/cli.sh
