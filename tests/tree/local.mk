# tree: what the source tree promises about itself.

TESTS += tests/tree/test-layers.sh tests/tree/test-exports.sh \
	tests/tree/test-forkd-manual.sh
EXTRA_DIST += tests/tree/test-layers.sh tests/tree/test-exports.sh \
	tests/tree/test-forkd-manual.sh
TESTS += tests/tree/test-api-manuals.sh
EXTRA_DIST += tests/tree/test-api-manuals.sh tests/tree/api-manuals
TESTS += tests/tree/test-install.sh
EXTRA_DIST += tests/tree/test-install.sh
TESTS += tests/tree/test-bootstrap.sh
EXTRA_DIST += tests/tree/test-bootstrap.sh
