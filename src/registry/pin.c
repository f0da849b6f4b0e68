/*
 * pin.c
 *	  Settings that change what users' code reads and writes, at fixed values.
 *
 * Code that runs in somebody else's session is not to be led astray by how that
 * one reads a literal or a date: with standard_conforming_strings off, a function
 * that doubles quotes does not quote.  The values are PostgreSQL's own defaults,
 * and documented.  Workers' handlers run in sessions of their role, and keep what
 * that has set.
 */
#include "taskq.h"

#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "registry/pin.h"

typedef struct Pin
{
	const char *name;
	const char *value;

	/* found once: settings of the server stay where they are */
	struct config_generic *setting; /* NULL: this version has none of that name */
	int					   number;	/* the value of what is no text */
} Pin;

static Pin pins[] = {
	/* how statements and literals are read */
	{ "standard_conforming_strings", "on" },
	{ "backslash_quote", "safe_encoding" },
	{ "transform_null_equals", "off" },
	{ "array_nulls", "on" },
	{ "xmloption", "content" },

	/* dates, times, numbers, money */
	{ "DateStyle", "ISO, MDY" },
	{ "IntervalStyle", "postgres" },
	{ "TimeZone", "UTC" },
	{ "timezone_abbreviations", "Default" },
	{ "extra_float_digits", "1" },
	{ "lc_monetary", "C" },
	{ "lc_numeric", "C" },
	{ "lc_time", "C" },

	/* how the rest is written */
	{ "bytea_output", "hex" },
	{ "quote_all_identifiers", "off" },
	{ "xmlbinary", "base64" },

	/* what a search finds */
	{ "default_text_search_config", "pg_catalog.simple" },
	{ "gin_fuzzy_search_limit", "0" },

	/* an error is an error, and no end of the session */
	{ "exit_on_error", "off" },
};

/* Find a setting, and what its value is there: by the server's own parsers. */
static void
Find(Pin *pin)
{
	bool understood = true;
	bool is_on = false;

	pin->setting = GucFind_compat(pin->name);
	if (pin->setting == NULL)
		return;
	if (pin->setting->vartype == PGC_ENUM)
		understood = config_enum_lookup_by_name(GUC_ENUM_compat(pin->setting), pin->value, &pin->number);
	else if (pin->setting->vartype == PGC_INT)
		understood = parse_int(pin->value, &pin->number, pin->setting->flags, NULL);
	else if (pin->setting->vartype == PGC_BOOL)
	{
		understood = parse_bool(pin->value, &is_on);
		pin->number = is_on;
	}
	if (!understood)
		elog(ERROR, "setting %s has no value \"%s\"", pin->name, pin->value);
}

static bool
IsPinned(const Pin *pin)
{
	switch (pin->setting->vartype)
	{
		case PGC_BOOL:
			return *GUC_BOOL_compat(pin->setting)->variable == (bool) pin->number;
		case PGC_INT:
			return *GUC_INT_compat(pin->setting)->variable == pin->number;
		case PGC_ENUM:
			return *GUC_ENUM_compat(pin->setting)->variable == pin->number;
		case PGC_STRING:
			return *GUC_STRING_compat(pin->setting)->variable != NULL &&
				   strcmp(*GUC_STRING_compat(pin->setting)->variable, pin->value) == 0;
		default:
			return false;
	}
}

static void
Set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Set those that differ, until the end of the GUC nest level. */
void
PinSettings(void)
{
	static bool found = false;
	const char *asserts;

	for (int i = 0; i < lengthof(pins) && !found; i++)
		Find(&pins[i]);
	found = true;
	for (int i = 0; i < lengthof(pins); i++)
		if (pins[i].setting != NULL && !IsPinned(&pins[i]))
			Set(pins[i].name, pins[i].value);

	/* a language's, whose settings do not stay where they are; off, ASSERT says nothing */
	asserts = GetConfigOption("plpgsql.check_asserts", true, false);
	if (asserts != NULL && strcmp(asserts, "on") != 0)
		Set("plpgsql.check_asserts", "on");
}
