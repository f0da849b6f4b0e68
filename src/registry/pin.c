/*
 * pin.c
 *	  Set the settings that change how users' code reads and writes values to fixed
 *	  values.
 *
 * Code that runs in the session of another role must not depend on how that session
 * reads literals or dates: with standard_conforming_strings off, for example, a
 * function that quotes by doubling quotes is open to injection.  The fixed values are
 * mostly PostgreSQL's own defaults, and are documented.  Handlers in workers run in
 * sessions of their own role, and keep the role's settings.
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

	/* found once, because the server's own settings do not move in memory */
	struct config_generic *setting; /* NULL: this version has no such setting */
	int					   number;	/* "value" as a number, unless the setting is a string */
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

	/* how other values are written */
	{ "bytea_output", "hex" },
	{ "quote_all_identifiers", "off" },
	{ "xmlbinary", "base64" },

	/* what text searches find */
	{ "default_text_search_config", "pg_catalog.simple" },
	{ "gin_fuzzy_search_limit", "0" },

	/* an error does not end the session */
	{ "exit_on_error", "off" },
};

/*
 * Settings of procedural languages by which they compile and run functions, and which
 * any role may change.  They are looked up each time, because loading a language's
 * library replaces them.
 */
static const struct
{
	const char *name;
	const char *value;
} language_pins[] = {
	{ "plpgsql.check_asserts", "on" },
	{ "plpgsql.extra_errors", "none" },
	{ "plpgsql.extra_warnings", "none" },
	{ "plpgsql.print_strict_params", "off" },
	{ "plperl.use_strict", "off" },
};

/* Find a setting, and convert the fixed value to its type. */
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

static void
PinLanguages(void)
{
	for (int i = 0; i < lengthof(language_pins); i++)
	{
		const char *value = GetConfigOption(language_pins[i].name, true, false);

		if (value != NULL && strcmp(value, language_pins[i].value) != 0)
			Set(language_pins[i].name, language_pins[i].value);
	}
}

/* Set all settings that differ from their fixed values, until the current GUC nest level ends. */
void
PinSettings(void)
{
	static bool found = false;

	for (int i = 0; i < lengthof(pins) && !found; i++)
		Find(&pins[i]);
	found = true;
	for (int i = 0; i < lengthof(pins); i++)
		if (pins[i].setting != NULL && !IsPinned(&pins[i]))
			Set(pins[i].name, pins[i].value);
	PinLanguages();
}
