# kvm: the only room that knows <linux/kvm.h>.

libfork_sources += \
	libfork/kvm/device.h \
	libfork/kvm/ring.h \
	libfork/kvm/vcpu.h \
	libfork/kvm/vcpu_state.h \
	libfork/kvm/vm.h
