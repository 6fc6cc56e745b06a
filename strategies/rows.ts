// Rows of a strategy's own, for what does not belong into one row with its state: populations, histories. They are stored in the same
// transaction as the state: what is undone takes them with it.

import { MAX_ROW_BYTES } from '../protocol/index.ts'

type StrategyRow = { readonly key: string; readonly value: unknown }

/** Keys are 1 to 200 printable ASCII characters, and values plain JSON of at most MAX_ROW_BYTES; anything else throws RowError. */
type StrategyRows = {
  /** A copy of the value, undefined where there is none. */
  get(key: string): unknown
  put(key: string, value: unknown): void
  delete(key: string): void
  /** Rows whose keys begin with `prefix` and come after `after` ('' for all), in the order of their keys; at most `limit`. */
  scan(prefix: string, after: string, limit: number): readonly StrategyRow[]
}

class RowError extends Error {
  override readonly name = 'RowError'
  readonly code = 'bad-row'
}

const keyPattern = /^[\x20-\x7e]{1,200}$/
/** Comes after every character that a key may have. */
const AFTER_ALL = '\x7f'
const MAX_BYTES_PER_UNIT = 3

/** Bytes of a text as UTF-8. */
function utf8Bytes(text: string): number {
  let bytes = 0
  for (const character of text) {
    const code = character.codePointAt(0) as number
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_00_00 ? 3 : 4
  }
  return bytes
}

/** JSON text of a row, as it is stored. Throws RowError. */
function rowText(key: string, value: unknown): string {
  if (!keyPattern.test(key)) throw new RowError(`expected a key of 1 to 200 printable ASCII characters, got ${JSON.stringify(key)}`)
  const text = JSON.stringify(value) as string | undefined
  if (text === undefined) throw new RowError(`row ${key}: expected plain JSON, got ${typeof value}`)
  const bytes = text.length * MAX_BYTES_PER_UNIT <= MAX_ROW_BYTES ? 0 : utf8Bytes(text)
  if (bytes > MAX_ROW_BYTES) throw new RowError(`row ${key}: expected at most ${MAX_ROW_BYTES} bytes of JSON, got ${bytes}; divide it`)
  return text
}

const byKey = ({ key: a }: StrategyRow, { key: b }: StrategyRow) => (a < b ? -1 : a > b ? 1 : 0)

/** Over JSON texts by key, which the caller may keep and copy. */
function rowsOver(texts: Map<string, string>): StrategyRows {
  return {
    get(key) {
      const text = texts.get(key)
      return text === undefined ? undefined : (JSON.parse(text) as unknown)
    },
    put(key, value) {
      texts.set(key, rowText(key, value))
    },
    delete(key) {
      texts.delete(key)
    },
    scan: (prefix, after, limit) =>
      [...texts.keys()]
        .filter((key) => key.startsWith(prefix) && key > after)
        .toSorted()
        .slice(0, limit)
        .map((key) => ({ key, value: JSON.parse(texts.get(key) as string) as unknown })),
  }
}

type DraftRows = StrategyRows & {
  /** Writes to the rows beneath what was written here. */
  keep(): void
}

/** Rows that read through to others and keep what is written to themselves. */
function draftOf(rows: StrategyRows): DraftRows {
  /** JSON text, or null for what was deleted. */
  const changes = new Map<string, string | null>()
  const changed = (text: string): unknown => JSON.parse(text) as unknown
  return {
    get(key) {
      const text = changes.get(key)
      return text === undefined ? rows.get(key) : text === null ? undefined : changed(text)
    },
    put(key, value) {
      changes.set(key, rowText(key, value))
    },
    delete(key) {
      changes.set(key, null)
    },
    scan(prefix, after, limit) {
      const own = [...changes].filter(([key]) => key.startsWith(prefix) && key > after)
      // Each row deleted or replaced here takes a place among those beneath.
      const beneath = rows.scan(prefix, after, limit + own.length).filter(({ key }) => !changes.has(key))
      const written = own.flatMap(([key, text]) => (text === null ? [] : [{ key, value: changed(text) }]))
      return [...beneath, ...written].toSorted(byKey).slice(0, limit)
    },
    keep() {
      for (const [key, text] of changes) {
        if (text === null) rows.delete(key)
        else rows.put(key, changed(text))
      }
      changes.clear()
    },
  }
}

export { AFTER_ALL, draftOf, rowsOver, rowText, type StrategyRow, type StrategyRows }
