/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the two backends meet: the table of what a backend can do, and the
 * domain as both see it. domain.c checks states and arguments before it calls
 * an operation, and sets the new state after it succeeded; a backend changes
 * the state only when something happened by itself, in dispatch() or run().
 * An operation that a backend lacks is NULL.
 */
#ifndef DOMAIN_BACKEND_H
#define DOMAIN_BACKEND_H

#include <libfork/domain.h>

struct layer;
struct ram_image;

/* What is done with a probe in one domain's own memory. */
enum domain_patch {
	DOMAIN_PATCH_FOLLOW, /* be as in the layer, also where it is private */
	DOMAIN_PATCH_ARM,    /* armed here, until the next reset */
	DOMAIN_PATCH_LIFT,   /* not armed here, until the next reset */
};

struct domain_backend {
	enum lf_backend id;
	const char *name;

	/*
	 * Make a domain: fill in domain->impl. On failure nothing is left
	 * behind; free() is not called.
	 */
	int (*create)(struct lf_domain *domain,
	    const struct lf_domain_config *config, struct lf_launcher *launcher,
	    struct lf_error *error);
	/* domain->origin is set before the call. */
	int (*fork)(struct lf_domain *domain,
	    const struct lf_fork_options *options, struct lf_error *error);
	/* Ends it and frees domain->impl. */
	void (*free)(struct lf_domain *domain);

	/* The domain is paused; the snapshot is handed over. */
	int (*freeze)(struct lf_domain *domain,
	    struct lf_snapshot **ret_snapshot, struct lf_error *error);
	/*
	 * Runs the domain, which is paused or running, up to an address, where
	 * it stands still. On failure it is what it was.
	 */
	int (*arrive)(struct lf_domain *domain, const struct lf_freeze_at *at,
	    struct lf_arrival *ret_arrival, struct lf_error *error);
	/* domain->frozen is dropped by domain.c afterwards. */
	int (*thaw)(struct lf_domain *domain, struct lf_error *error);
	int (*pause)(struct lf_domain *domain, struct lf_error *error);
	int (*unpause)(struct lf_domain *domain, struct lf_error *error);
	int (*shutdown)(struct lf_domain *domain, struct lf_error *error);
	/* Goes over to the qemu backend, whose the domain then is. */
	int (*launch)(struct lf_domain *domain,
	    const struct lf_launch_options *options, struct lf_error *error);
	int (*reset)(struct lf_domain *domain, struct lf_error *error);
	int (*verify)(struct lf_domain *domain, struct lf_error *error);

	int (*run)(struct lf_domain *domain, struct lf_exit *ret_exit,
	    struct lf_error *error);
	void (*stop)(struct lf_domain *domain);
	int (*answer)(struct lf_domain *domain, const void *data, size_t len,
	    struct lf_error *error);

	int (*memory_read)(struct lf_domain *domain, uint64_t gpa, void *buf,
	    size_t len, struct lf_error *error);
	int (*memory_write)(struct lf_domain *domain, uint64_t gpa,
	    const void *bytes, size_t len, struct lf_error *error);
	int (*read_regs)(struct lf_domain *domain, unsigned vcpu,
	    struct lf_vcpu_regs *ret_regs, struct lf_error *error);
	int (*write_regs)(struct lf_domain *domain, unsigned vcpu,
	    const struct lf_vcpu_regs *regs, struct lf_error *error);
	/* The image that the domain's memory shows, not a new reference. */
	int (*get_image)(struct lf_domain *domain, struct ram_image **ret_image,
	    struct lf_error *error);
	/* Shows the layer's pages, and those that were added to it since. */
	int (*set_layer)(struct lf_domain *domain, struct layer *layer,
	    struct lf_error *error);
	/* Where in the snapshot's image a guest-physical address lies. */
	int (*find_place)(struct lf_domain *domain, uint64_t gpa,
	    uint32_t *ret_file, uint64_t *ret_offset, struct lf_error *error);
	int (*patch)(struct lf_domain *domain, uint32_t patch,
	    enum domain_patch how, struct lf_error *error);
	void (*counters)(
	    const struct lf_domain *domain, struct lf_counters *ret_counters);

	int (*own_pages)(struct lf_domain *domain, uint64_t *ret_pages,
	    struct lf_error *error);

	/* A JSON object as text, which the caller frees. */
	int (*describe)(
	    struct lf_domain *domain, char **ret_json, struct lf_error *error);

	int (*event_fd)(const struct lf_domain *domain);
	int (*dispatch)(struct lf_domain *domain, struct lf_exit *ret_exit,
	    struct lf_error *error);
};

struct lf_domain {
	const struct domain_backend *backend;
	void *impl; /* the backend's own */
	enum lf_domain_state state;
	char *name;                 /* owned, may be NULL */
	struct lf_snapshot *origin; /* reference; NULL for a booted domain */
	struct lf_snapshot *frozen; /* reference while FROZEN, else NULL */
	char reason[256];
};

extern const struct domain_backend domain_backend_kvm;
extern const struct domain_backend domain_backend_qemu;

#endif
