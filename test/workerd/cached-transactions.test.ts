import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect, it } from 'vitest'
import { createCachedTransactions } from '../../coordinator/objects/cached-transactions.ts'

/** How often the cache was dropped after transactions in a new object, each of which ends in an error that is caught. */
function drops(...bodies: ((write: SqlStorage['exec'], nested: (body: () => void) => void) => void)[]): Promise<number> {
  return runInDurableObject(env.SEARCH.get(env.SEARCH.newUniqueId()), (_, { storage }) => {
    storage.sql.exec('CREATE TABLE rows (value INTEGER)')
    let dropped = 0
    const { transaction, write } = createCachedTransactions(storage, () => {
      dropped += 1
    })
    for (const body of bodies) {
      try {
        transaction(() => {
          body(write, transaction)
          throw new Error('refused')
        })
      } catch (error) {
        expect((error as Error).message).toBe('refused')
      }
    }
    expect(storage.sql.exec('SELECT value FROM rows').toArray()).toEqual([])
    return dropped
  })
}

const insert = 'INSERT INTO rows (value) VALUES (1)'

it('a refusal keeps what is in memory', async () => {
  expect(
    await drops(
      () => undefined,
      (_, nested) => nested(() => undefined),
    ),
  ).toBe(0)
})

it('a transaction that fails after it has written does not, also where an inner one wrote', async () => {
  expect(await drops((write) => void write(insert))).toBe(1)
  expect(await drops((write, nested) => nested(() => void write(insert)))).toBe(1)
})

it('what was written before is of no account', async () => {
  expect(
    await drops(
      (write) => void write(insert),
      () => undefined,
    ),
  ).toBe(1)
})
