// Lists of what there is. A member that cannot be read is listed as such, apart from the others, and takes nothing else down.

import * as z from 'zod'
import { type Outcome, type Unreadable, unwrap } from '../../protocol/index.ts'
import type { DirectoryPort } from './ports.ts'
import { logFailure } from './request-log.ts'

/** Members may have to be asked, each for itself: as many as a Worker may call on the free plan. */
const MAX_LISTED = 40

/** Of the things that are listed by when they were created. */
const pageQuery = (things: string) =>
  z.object({
    before: z.coerce.number().int().min(0).optional().describe(`only ${things} created before this time, ms since 1970`),
    limit: z.coerce.number().int().min(1).max(MAX_LISTED).default(MAX_LISTED),
  })

type Page<T> = { readonly members: T[]; readonly unreadable: Unreadable[] }

/** Members of a list, newest first; those that are gone are left out. Only those are asked that have not told the list what `summaryOf` knows. */
async function readList<T>(
  directory: DirectoryPort,
  { before = Number.MAX_SAFE_INTEGER, limit = MAX_LISTED }: { readonly before?: number | undefined; readonly limit?: number },
  read: (id: string) => Promise<Outcome<T>>,
  summaryOf: (json: string) => T | null = () => null,
): Promise<Page<T>> {
  const listed = unwrap(await directory.list(before, limit))
  const answers = await Promise.allSettled(
    listed.map(async ({ id, summary }): Promise<Outcome<T>> => {
      const value = summary === null ? null : summaryOf(summary)
      return value === null ? read(id) : { ok: true, value }
    }),
  )
  const page: Page<T> = { members: [], unreadable: [] }
  for (const [i, { id, createdAtMs }] of listed.entries()) {
    const answer = answers[i] as PromiseSettledResult<Outcome<T>>
    if (answer.status === 'rejected') {
      logFailure(answer.reason, undefined)
      page.unreadable.push({ id, createdAtMs, reason: 'it does not answer; the coordinator has logged why' })
    } else if (answer.value.ok) {
      page.members.push(answer.value.value)
    } else if (answer.value.refusal.code !== 'not-found') {
      page.unreadable.push({ id, createdAtMs, reason: answer.value.refusal.detail })
    }
  }
  return page
}

/**
 * Lists something and makes it: in this order, so that what is cut short in between can be found and deleted. What is refused is taken off the
 * list again; members that are not there are left out of it meanwhile.
 */
async function enlist<T>(directory: DirectoryPort, id: string, createdAtMs: number, make: () => Promise<Outcome<T>>): Promise<T> {
  unwrap(await directory.add(id, createdAtMs))
  const made = await make()
  if (!made.ok) await directory.remove(id)
  return unwrap(made)
}

export { enlist, pageQuery, readList }
