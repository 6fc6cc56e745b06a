// Migrations of what an object stores: numbered from 1 by their place in a list that only ever grows. An object that is new
// has run all of them, one of version 0.1.0 none: it stored no version, and counts as version 0.
//
// A migration knows by itself what it must know of old forms, and imports zod only: it has to do the same in ten years,
// whatever the code around it has become.

type Migration = {
  /** What it does, for people; stored with its number. */
  readonly title: string
  readonly up: (sql: SqlStorage) => void
}

/** Rows of one column of JSON, each replaced by what `change` makes of it. */
function rewriteJson(
  sql: SqlStorage,
  { table, key, column }: { readonly table: string; readonly key: string; readonly column: string },
  change: (value: unknown) => unknown,
): void {
  const rows = sql.exec<Record<string, string | number>>(`SELECT ${key} AS id, ${column} AS json FROM ${table}`).toArray()
  for (const { id, json } of rows) {
    const before = JSON.parse(String(json)) as unknown
    sql.exec(`UPDATE ${table} SET ${column} = ? WHERE ${key} = ?`, JSON.stringify(change(before)), id)
  }
}

export { type Migration, rewriteJson }
