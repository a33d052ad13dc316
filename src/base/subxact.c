/*-------------------------------------------------------------------------
 *
 * subxact.c
 *		Subtransactions, of which a transaction may have very many.
 *
 * A subtransaction that commits leaves its CurTransactionContext, 8 kB at
 * least, unless it is as good as new (AtSubCommit_Memory()).  One of which all
 * was freed is not; we make it so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/subxact.h"

/* What an allocation set takes for itself, as its figures show it; 0 where not known yet, or not as we think. */
static Size set_header = 0;
static Size block_header = 0;

/* What a set has taken and does not count as free. */
static Size
in_use(MemoryContext context, Size *nblocks)
{
	MemoryContextCounters counters;

	memset(&counters, 0, sizeof(counters));
	context->methods->stats(context, NULL, NULL, &counters, true);
	*nblocks = counters.nblocks;
	return counters.totalspace - counters.freespace;
}

/* Find the headers' sizes: by a set of one block, and the same set with a second. */
static void
measure(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage measure",
												  ALLOCSET_SMALL_SIZES);
	void	   *chunks[256];
	Size		nblocks;
	Size		two_blocks;
	Size		one_block = in_use(context, &nblocks);
	int			n = 0;

	if (nblocks == 1)
	{
		while (nblocks == 1 && n < (int) lengthof(chunks))
		{
			chunks[n++] = MemoryContextAlloc(context, 64);
			(void) in_use(context, &nblocks);
		}
		while (n > 0)
			pfree(chunks[--n]);
		two_blocks = in_use(context, &nblocks);
		if (nblocks == 2 && two_blocks > one_block && 2 * one_block > two_blocks)
		{
			block_header = two_blocks - one_block;
			set_header = one_block - block_header;
		}
	}
	MemoryContextDelete(context);
}

/* Was everything freed that was ever allocated in it?  False where there is no telling. */
static bool
is_unused(MemoryContext context)
{
	Size		nblocks;
	Size		used;

	if (!IsA(context, AllocSetContext) || context->firstchild != NULL || context->reset_cbs != NULL)
		return false;
	if (set_header == 0)
		measure();
	if (set_header == 0)
		return false;
	used = in_use(context, &nblocks);
	return used == set_header + nblocks * block_header;
}

void
ffs_base_release_subtransaction(void)
{
	MemoryContext context = CurTransactionContext;

	if (!context->isReset && context != CurrentMemoryContext && is_unused(context))
		MemoryContextReset(context);
	ReleaseCurrentSubTransaction();
}
