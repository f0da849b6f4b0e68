/*
 * cost.c
 *	  Amounts of cost units, as exact numbers with a fixed number of decimals.
 */
#include "taskq.h"

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/cost.h"

#define MOST_DIGITS 37 /* of a CostUnits, whose most is about 1.7e38 */

/* Return the text of a numeric. */
static char *
TextOf(Datum numeric)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, numeric));
}

/*
 * Read a number with up to "most" digits before the point.  Returns false if it is not
 * finite, or has more digits.  Zeros at its end do not count.
 */
static bool
Parse(const char *text, int most, CostUnits *cost)
{
	bool negative = text[0] == '-';
	int	 digits = 0;
	int	 decimals = -1;

	*cost = 0;
	for (const char *p = text + (negative ? 1 : 0); *p != '\0'; p++)
	{
		if (*p == '.' && decimals < 0)
		{
			decimals = 0;
			continue;
		}
		if (*p < '0' || *p > '9')
			return false;
		if (decimals == COST_DECIMALS && *p != '0')
			return false;
		if (decimals == COST_DECIMALS)
			continue;
		decimals += decimals >= 0 ? 1 : 0;
		digits += decimals < 0 && (*cost != 0 || *p != '0') ? 1 : 0;
		if (digits > most)
			return false;
		*cost = *cost * 10 + (*p - '0');
	}
	for (decimals = Max(decimals, 0); decimals < COST_DECIMALS; decimals++)
		*cost *= 10;
	if (negative)
		*cost = -*cost;
	return true;
}

/* Read an amount.  The caller has checked that it is not NULL. */
CostUnits
ArgCost(FunctionCallInfo fcinfo, int n, const char *what, bool may_be_negative)
{
	char	 *text = TextOf(PG_GETARG_DATUM(n));
	CostUnits cost;

	if (!Parse(text, COST_DIGITS, &cost))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range", what),
				 errdetail("It is a finite number with at most %d digits before the point and %d after it, because no amount is rounded.",
						   COST_DIGITS, COST_DECIMALS),
				 errhint("Use smaller or larger units, or round() it first.")));
	if (cost < 0 && !may_be_negative)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", what)));
	return cost;
}

/* Read an amount, or a sum of amounts, from a table. */
CostUnits
CostOfDatum(Datum numeric)
{
	CostUnits cost;

	if (!Parse(TextOf(numeric), MOST_DIGITS - COST_DECIMALS, &cost))
		elog(ERROR, "the amount %s is out of range", TextOf(numeric));
	return cost;
}

/* Return the amount without zeros at its end. */
char *
CostText(CostUnits cost)
{
	char	text[MOST_DIGITS + 4];
	int		at = sizeof(text);
	uint128 rest = cost < 0 ? -(uint128) cost : (uint128) cost;
	bool	any = false;

	text[--at] = '\0';
	for (int place = 0; place <= COST_DECIMALS || rest != 0; place++)
	{
		int digit = (int) (rest % 10);

		rest /= 10;
		if (place == COST_DECIMALS && any)
			text[--at] = '.';
		if (place < COST_DECIMALS && digit == 0 && !any)
			continue;
		text[--at] = '0' + digit;
		any = true;
	}
	if (cost < 0)
		text[--at] = '-';
	return pstrdup(text + at);
}

Datum
CostDatum(CostUnits cost)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(CostText(cost)), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}
