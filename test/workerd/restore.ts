// Puts a stored state (test/fixtures/stored) into the objects and the KV of the Worker under test, as if its coordinator had
// stopped a while ago and the new one had just been deployed.

import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { moveToNow } from '../fixtures/stored/move-to-now.ts'
import type { Cell, StoredObject, StoredState } from '../fixtures/stored/stored-state.ts'

const fromBase64 = (text: string) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0))

function toSql(cell: Cell): SqlStorageValue {
  if (typeof cell !== 'object' || cell === null) return cell
  return 'json' in cell ? JSON.stringify(cell.json) : fromBase64(cell.base64).buffer
}

const stubOf = ({ binding, name }: Pick<StoredObject, 'binding' | 'name'>): DurableObjectStub => env[binding].getByName(name)

async function restoreObject(object: StoredObject): Promise<void> {
  await runInDurableObject(stubOf(object), async (_, { storage }) => {
    // Opening an object may have made tables of today's form.
    await storage.deleteAlarm()
    await storage.deleteAll()
    storage.transactionSync(() => {
      for (const { name, sql, columns, rows } of object.tables) {
        storage.sql.exec(sql)
        const insert = `INSERT INTO ${name} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`
        for (const row of rows) storage.sql.exec(insert, ...row.map(toSql))
      }
    })
    if (object.alarmAtMs !== null) await storage.setAlarm(object.alarmAtMs)
  })
  // From here on it is opened with what was stored.
  await evictDurableObject(stubOf(object))
}

/** Replaces what the objects and the keys of this state hold; returns it as it was put there. */
async function restoreState(stored: StoredState): Promise<StoredState> {
  const state = moveToNow(stored, Date.now())
  for (const object of state.objects) await restoreObject(object)
  for (const { key, value, metadata } of state.kv) await env.LATENCY_TABLES.put(key, JSON.stringify(value), { metadata })
  return state
}

/** Rows of one table, as records. */
function storedRows(state: StoredState, { binding, name }: Pick<StoredObject, 'binding' | 'name'>, table: string): Record<string, Cell>[] {
  const object = state.objects.find((candidate) => candidate.binding === binding && candidate.name === name)
  const found = object?.tables.find((candidate) => candidate.name === table)
  if (!found) throw new Error(`the state has no table ${table} of ${binding} ${name}`)
  return found.rows.map((row) => Object.fromEntries(found.columns.map((column, i) => [column, row[i] as Cell])))
}

export { fromBase64, restoreObject, restoreState, storedRows, stubOf }
