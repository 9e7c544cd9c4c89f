# config: the two syntaxes of configuration files. A convenience library of its
# own, for the programs: what they read is libfork's model.

noinst_LTLIBRARIES += libfork/config/libconfig.la
libfork_config_libconfig_la_CPPFLAGS = $(AM_CPPFLAGS) $(XML_CFLAGS)
libfork_config_libconfig_la_LIBADD = $(XML_LIBS)
libfork_config_libconfig_la_SOURCES = \
	libfork/config/config_file.c \
	libfork/config/config_file.h \
	libfork/config/source.c \
	libfork/config/source.h \
	libfork/config/values.c \
	libfork/config/values.h \
	libfork/config/xl.h \
	libfork/config/xl_keys.c \
	libfork/config/xl_lex.c \
	libfork/config/xl_lex.h \
	libfork/config/xl_parse.c \
	libfork/config/xl_spec.c \
	libfork/config/xml.h \
	libfork/config/xml_devices.c \
	libfork/config/xml_domain.c \
	libfork/config/xml_elements.c \
	libfork/config/xml_node.c \
	libfork/config/xml_node.h \
	libfork/config/xml_parse.c \
	libfork/config/xml_print.c \
	libfork/config/xml_take.h
nodist_libfork_config_libconfig_la_SOURCES = libfork/config/domain_rng.h

# The schema is in the program, so that it is always there and always the one
# that belongs to it; it is installed for editors.
dist_pkgdata_DATA = libfork/config/domain.rng
libfork/config/domain_rng.h: libfork/config/domain.rng
	$(AM_V_GEN)$(MKDIR_P) libfork/config && \
	{ echo '/* Made from domain.rng. */' && \
	echo 'static const char xml_schema[] =' && \
	sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/    "&\\n"/' \
		'$(top_srcdir)/libfork/config/domain.rng' && \
	echo '    ;'; } >$@.new && mv $@.new $@
BUILT_SOURCES += libfork/config/domain_rng.h
CLEANFILES += libfork/config/domain_rng.h
