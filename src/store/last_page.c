/*
 * last_page.c
 *	  Inserting at the end of a b-tree without a search.
 *
 * The b-tree keeps in each process the block of the last leaf page, and looks first
 * whether a new entry belongs there and fits (_bt_search_insert()).  If not, it forgets
 * the block, and descends the tree.  It remembers the block only of trees with three
 * levels or more.  A queue mostly has fewer than 60,000 jobs, and so two levels, and ids
 * count up, so most of its entries would go to that page.  Therefore we tell the b-tree
 * the block in these cases, too.
 *
 * That is only a hint.  The b-tree checks it before each use, and it does not matter if
 * others have split the page.  If the block is forgotten soon, because entries go to
 * other pages or other processes have locked the page, then to tell it costs more than
 * it saves, and we do so at ever longer intervals.
 */
#include "taskq.h"

#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "store/last_page.h"

#define WORTHWHILE 16			/* the search for the page costs as much as is saved by a few entries */
#define FIRST_PAUSE 16			/* entries */
#define LONGEST_PAUSE (1 << 12) /* entries */

/* Return the block of the last leaf page, unless it is the only page of the tree. */
static BlockNumber
FindLast(Relation index)
{
	Buffer		buffer = _bt_get_endpoint_compat(index, true);
	BlockNumber block = InvalidBlockNumber;

	if (!BufferIsValid(buffer))
		return InvalidBlockNumber;
	if (!P_ISROOT(BTPageGetOpaque(BufferGetPage(buffer))))
		block = BufferGetBlockNumber(buffer);
	_bt_relbuf(index, buffer);
	return block;
}

/*
 * Called before an entry is inserted into a b-tree.  Tells it the last page if that has
 * been useful for the entries before.
 */
void
LastPageTell(LastPage *last, Relation index)
{
	if (RelationGetTargetBlock(index) != InvalidBlockNumber)
	{
		last->used++;
		return;
	}
	if (last->told)
	{
		if (last->used >= WORTHWHILE)
			last->paused = 0;
		else
			last->paused = last->paused == 0 ? FIRST_PAUSE : Min(last->paused * 2, LONGEST_PAUSE);
		last->pause = last->paused;
		last->told = false;
	}
	if (last->pause > 0)
	{
		last->pause--;
		return;
	}
	RelationSetTargetBlock(index, FindLast(index));
	last->told = true;
	last->used = 0;
}
