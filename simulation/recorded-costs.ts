// Columns of tables as costs of architectures: latencies of devices, energy, whatever somebody has measured.

import type { Path } from '../search-space/index.ts'
import type { RecordedCosts } from '../strategies/index.ts'
import { findColumn, numberAt, pathColumns, type PathOf, type TextTable } from './recorded-text.ts'

type Source = { readonly table: TextTable; readonly pathOf: PathOf }

/** Of columns that several tables have, the first table's counts. What is asked of a column throws RecordedTableError where it holds no numbers. */
function createRecordedCosts(sources: readonly Source[]): RecordedCosts {
  const columns = [...new Set(sources.flatMap(({ table }) => table.columns))].filter((column) => !pathColumns.includes(column))
  const read = new Map<string, { readonly values: ReadonlyMap<string, number>; readonly least: number }>()
  const columnOf = (column: string) => {
    const known = read.get(column)
    if (known) return known
    const values = new Map<string, number>()
    let least = Number.POSITIVE_INFINITY
    for (const { table, pathOf } of sources) {
      const index = findColumn(table, column)
      if (index === null) continue
      for (const row of table.rows) {
        const path = pathOf(row)
        if (!path) continue
        const value = numberAt(table, row, index, Number.MAX_VALUE, 'a number, 0 or more')
        values.set(path.join(), value)
        least = Math.min(least, value)
      }
      break
    }
    read.set(column, { values, least })
    return { values, least }
  }
  return {
    columns,
    read: (column: string, path: Path) => columnOf(column).values.get(path.join()) ?? null,
    least: (column) => columnOf(column).least,
  }
}

export { createRecordedCosts }
