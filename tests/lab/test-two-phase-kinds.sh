#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs test_two_phase_kinds where kernel code runs natively under KVM: here if
# this host's KVM is hardware's, else in the lab.
: "${top_builddir:?set by make check}"
exec bash "$(dirname "$0")/in-lab" "$top_builddir/tests/lab/test_two_phase_kinds" "$@"
