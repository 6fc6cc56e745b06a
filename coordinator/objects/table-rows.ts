// Rows of an object's tables as pages that leave it and come back: what a search's file is made of.

import { type Cell, type ExportPage, invalidField, type RowPage, SEARCH_FILE_PAGE_BYTES, type StoredObject } from '../../protocol/index.ts'

/** A table, and the column that its rows are ordered by. */
type TableKey = { readonly table: string; readonly key: string }
type Row = Record<string, SqlStorageValue>

/** Rows that are looked at in one go. */
const BATCH_ROWS = 50
/** No call takes very many arguments. */
const CALL_ARGUMENTS = 8192

function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += CALL_ARGUMENTS) text += String.fromCharCode(...bytes.subarray(at, at + CALL_ARGUMENTS))
  return btoa(text)
}

function toCell(value: SqlStorageValue): Cell {
  return value instanceof ArrayBuffer ? { base64: toBase64(new Uint8Array(value)) } : value
}

function fromCell(cell: Cell): SqlStorageValue {
  return typeof cell === 'object' && cell !== null
    ? Uint8Array.from(atob(cell.base64), (character) => character.charCodeAt(0)).buffer
    : cell
}

function cellBytes(cell: Cell): number {
  return typeof cell === 'object' && cell !== null ? cell.base64.length : String(cell).length
}

/** Rows of a table behind `after`, up to a page. */
function pageOf(
  sql: SqlStorage,
  { table, key }: TableKey,
  after: SqlStorageValue,
): { rows: Record<string, Cell>[]; last: SqlStorageValue } {
  const rows: Record<string, Cell>[] = []
  let last = after
  let bytes = 0
  for (;;) {
    const found = (
      last === null
        ? sql.exec<Row>(`SELECT * FROM ${table} ORDER BY ${key} LIMIT ?`, BATCH_ROWS)
        : sql.exec<Row>(`SELECT * FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`, last, BATCH_ROWS)
    )[Symbol.iterator]()
    let count = 0
    for (const row of found) {
      count += 1
      const cells = Object.fromEntries(Object.entries(row).map(([column, value]) => [column, toCell(value)]))
      bytes += Object.values(cells).reduce<number>((sum, cell) => sum + cellBytes(cell), 0)
      if (rows.length > 0 && bytes > SEARCH_FILE_PAGE_BYTES) return { rows, last }
      rows.push(cells)
      last = row[key] as SqlStorageValue
    }
    if (count < BATCH_ROWS) return { rows, last }
  }
}

/**
 * The page that a cursor names, null for the first. Throws ProblemError `invalid-request` for a cursor that none of the pages named.
 */
function exportPage(sql: SqlStorage, object: StoredObject, tables: readonly TableKey[], cursor: string | null): ExportPage {
  const [name, afterText = 'null'] = cursor === null ? [tables[0]?.table] : cursor.split(/:(.*)/s)
  const from = tables.findIndex(({ table }) => table === name)
  if (from === -1) throw invalidField('cursor', 'expected one that a page has named')
  for (const [i, table] of tables.slice(from).entries()) {
    const { rows, last } = pageOf(sql, table, i === 0 ? parseKey(afterText) : null)
    if (rows.length > 0) return { page: { object, table: table.table, rows }, next: `${table.table}:${JSON.stringify(last)}` }
  }
  return { page: null, next: null }
}

function parseKey(text: string): string | number | null {
  try {
    const key: unknown = JSON.parse(text)
    if (key === null || typeof key === 'string' || typeof key === 'number') return key
  } catch {
    // As any other that is none.
  }
  throw invalidField('cursor', 'expected one that a page has named')
}

/** Puts rows into their table. Throws ProblemError `invalid-request` where table or columns are others than there are. */
function importRows(sql: SqlStorage, tables: readonly TableKey[], { table, rows }: RowPage): void {
  if (!tables.some((known) => known.table === table)) throw invalidField('table', `there is no table ${table} to import`)
  const columns = sql
    .exec<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`)
    .toArray()
    .map(({ name }) => name)
  const insert = `INSERT OR REPLACE INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`
  for (const [i, row] of rows.entries()) {
    for (const name of Object.keys(row)) if (!columns.includes(name)) throw invalidField(`rows[${i}].${name}`, `no column of ${table}`)
    const values = columns.map((name) => {
      const cell = row[name]
      if (cell === undefined) throw invalidField(`rows[${i}].${name}`, 'missing')
      return fromCell(cell)
    })
    sql.exec(insert, ...values)
  }
}

export { exportPage, importRows, type TableKey }
