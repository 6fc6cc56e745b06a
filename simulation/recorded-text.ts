// Tables of text about architectures: a header, then a row for each, fields with commas between them and quotes around those that hold
// commas. Which architecture a row is about, one of these columns says:
//
//   architecture        as `gatehouse derive` prints it, with or without the space's name and colon
//   ops                 one digit for each decision, its option (as NAS-Bench-201 is carried around)
//   index               the number that another table has for it, whose `index` is beside its `ops`

import { parseArchitecture, type Path, type Space, SpaceError } from '../search-space/index.ts'

const pathColumns: readonly string[] = ['architecture', 'ops', 'index']

/** A file that is no such table. The message names line and column. */
class RecordedTableError extends Error {
  override readonly name = 'RecordedTableError'
  readonly code = 'recorded-table'
}

type TextRow = { readonly at: string; readonly fields: readonly string[] }
type TextTable = { readonly columns: readonly string[]; readonly rows: readonly TextRow[] }

function splitRow(line: string): string[] {
  const fields: string[] = []
  for (const match of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    fields.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim())
  return fields
}

/** Throws RecordedTableError where a row has more or fewer fields than the header. */
function readTextTable(text: string): TextTable {
  const [header = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const columns = splitRow(header)
  const rows = lines.flatMap((line, index) => {
    if (line.trim() === '') return []
    const at = `line ${index + 2}`
    const fields = splitRow(line)
    if (fields.length !== columns.length) throw new RecordedTableError(`${at}: expected ${columns.length} fields, got ${fields.length}`)
    return [{ at, fields }]
  })
  return { columns, rows }
}

/** Index of a column; null where there is none of that name. */
function findColumn({ columns }: Pick<TextTable, 'columns'>, name: string): number | null {
  return columns.includes(name) ? columns.indexOf(name) : null
}

/** A number from 0 to `most`. Throws RecordedTableError, naming line and column. */
function numberAt(
  { columns }: Pick<TextTable, 'columns'>,
  { at, fields }: TextRow,
  column: number,
  most: number,
  expected: string,
): number {
  const value = Number(fields[column])
  if (fields[column] !== '' && value >= 0 && value <= most) return value
  throw new RecordedTableError(`${at}, ${columns[column]}: expected ${expected}, got "${fields[column]}"`)
}

/** What a row is about, null for an index that nobody has. */
type PathOf = (row: TextRow) => Path | null

/**
 * Reads what each row is about. Throws RecordedTableError where no column says it, and what is returned does for rows that are about no
 * architecture of the space.
 *
 * @param byIndex architectures by the text of their index, where another table has told of them
 */
function pathReader(table: TextTable, space: Space, byIndex?: ReadonlyMap<string, Path>): PathOf {
  const [architecture, ops, index] = pathColumns.map((name) => findColumn(table, name))
  const read = (field: string): Path => {
    if (typeof architecture === 'number')
      return parseArchitecture(space, field.startsWith(`${space.name}:`) ? field : `${space.name}:${field}`)
    const path = [...field].map(Number)
    const fits = path.length === space.decisions.length && path.every((option, decision) => space.decisions[decision]?.options[option])
    if (!fits) throw new SpaceError('encoding', 'ops', `expected a digit for each of ${space.decisions.length} decisions, got "${field}"`)
    return path
  }
  const column = architecture ?? ops
  if (typeof column !== 'number') {
    if (byIndex && typeof index === 'number') return ({ fields }) => byIndex.get(fields[index] as string) ?? null
    const wanted = byIndex ? 'architecture, ops or index' : 'architecture or ops'
    throw new RecordedTableError(`expected a column called ${wanted}, got ${table.columns.join(', ')}`)
  }
  return ({ at, fields }) => {
    try {
      return read(fields[column] as string)
    } catch (error) {
      if (error instanceof SpaceError) throw new RecordedTableError(`${at}: ${error.message}`, { cause: error })
      throw error
    }
  }
}

export { findColumn, numberAt, pathColumns, pathReader, type PathOf, readTextTable, RecordedTableError, type TextTable }
