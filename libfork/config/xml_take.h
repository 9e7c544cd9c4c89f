/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One function per element of domain XML: takes it into the configuration, or
 * fails with an error that points at it. Its attributes have been checked.
 */
#ifndef CONFIG_XML_TAKE_H
#define CONFIG_XML_TAKE_H

#include "config/xml.h"

/* xml_domain.c */
int xml_take_domain(struct xml *xml, const xmlNode *node);
int xml_take_name(struct xml *xml, const xmlNode *node);
int xml_take_uuid(struct xml *xml, const xmlNode *node);
int xml_take_genid(struct xml *xml, const xmlNode *node);
int xml_take_memory(struct xml *xml, const xmlNode *node);
int xml_take_vcpu(struct xml *xml, const xmlNode *node);
int xml_take_cpu(struct xml *xml, const xmlNode *node);
int xml_take_cpu_model(struct xml *xml, const xmlNode *node);
int xml_take_cpu_feature(struct xml *xml, const xmlNode *node);
int xml_take_os_type(struct xml *xml, const xmlNode *node);
int xml_take_loader(struct xml *xml, const xmlNode *node);
int xml_take_nvram(struct xml *xml, const xmlNode *node);
int xml_take_kernel(struct xml *xml, const xmlNode *node);
int xml_take_initrd(struct xml *xml, const xmlNode *node);
int xml_take_cmdline(struct xml *xml, const xmlNode *node);

/* xml_devices.c */
int xml_take_disk(struct xml *xml, const xmlNode *node);
int xml_take_disk_driver(struct xml *xml, const xmlNode *node);
int xml_take_disk_source(struct xml *xml, const xmlNode *node);
int xml_take_disk_target(struct xml *xml, const xmlNode *node);
int xml_take_disk_readonly(struct xml *xml, const xmlNode *node);
int xml_take_interface(struct xml *xml, const xmlNode *node);
int xml_take_interface_mac(struct xml *xml, const xmlNode *node);
int xml_take_interface_backend(struct xml *xml, const xmlNode *node);
int xml_take_interface_target(struct xml *xml, const xmlNode *node);
int xml_take_port_forward(struct xml *xml, const xmlNode *node);
int xml_take_port_forward_range(struct xml *xml, const xmlNode *node);
int xml_take_serial(struct xml *xml, const xmlNode *node);
int xml_take_serial_source(struct xml *xml, const xmlNode *node);
int xml_take_graphics(struct xml *xml, const xmlNode *node);
int xml_take_video_model(struct xml *xml, const xmlNode *node);
int xml_take_rng(struct xml *xml, const xmlNode *node);
int xml_take_qemu_arg(struct xml *xml, const xmlNode *node);

#endif
