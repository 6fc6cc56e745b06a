// Recorded trainings as a table in text: a header, then a row for each architecture, fields with commas between them and quotes
// around those that hold commas.
//
//   architecture        as `gatehouse derive` prints it, with or without the space's name and colon
//   ops                 instead of it: one digit for each decision, its option (as NAS-Bench-201 is carried around)
//   METRIC_valid        accuracy that a search is shown, percent; or a column that is called METRIC alone
//   METRIC_test         accuracy on images that no search is shown, percent; may be missing
//   seconds             of the training; may be missing
//   index               name of the row, by which tables of scores may refer to it; may be missing

import {
  createSpace,
  parseArchitecture,
  type Path,
  resolveSpaceConfig,
  type Space,
  type SpaceRef,
  SpaceError,
} from '../search-space/index.ts'
import type { Recorded, RecordedBenchmark } from './recorded-benchmark.ts'

/** Accuracies come as percentages with up to four places, which counts of so many images hold. */
const IMAGES = 1_000_000
const MAX_PERCENT = 100

/** A file that is no such table. The message names line and column. */
class RecordedTableError extends Error {
  override readonly name = 'RecordedTableError'
  readonly code = 'recorded-table'
}

function splitRow(line: string): string[] {
  const fields: string[] = []
  for (const match of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    fields.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim())
  return fields
}

type Row = { readonly fields: readonly string[]; /** Its line, for people. */ readonly at: string }

/** Throws RecordedTableError for a row of another length than the header. */
function splitTable(text: string): { readonly columns: readonly string[]; readonly rows: readonly Row[] } {
  const [header = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const columns = splitRow(header)
  const rows = lines.flatMap((line, index): Row[] => {
    if (line.trim() === '') return []
    const at = `line ${index + 2}`
    const fields = splitRow(line)
    if (fields.length !== columns.length) throw new RecordedTableError(`${at}: expected ${columns.length} fields, got ${fields.length}`)
    return [{ fields, at }]
  })
  return { columns, rows }
}

/** How the architecture of a row is read, which throws RecordedTableError; null where the table has no column for it. */
function pathReader(space: Space, columns: readonly string[]): ((row: Row) => Path) | null {
  const [architecture, ops] = [columns.indexOf('architecture'), columns.indexOf('ops')]
  if (architecture === -1 && ops === -1) return null
  const pathOf = (field: string): Path => {
    if (architecture !== -1) return parseArchitecture(space, field.startsWith(`${space.name}:`) ? field : `${space.name}:${field}`)
    const path = [...field].map(Number)
    const fits = path.length === space.decisions.length && path.every((option, index) => space.decisions[index]?.options[option])
    if (!fits) throw new SpaceError('encoding', 'ops', `expected a digit for each of ${space.decisions.length} decisions, got "${field}"`)
    return path
  }
  return ({ fields, at }) => {
    try {
      return pathOf(fields[architecture === -1 ? ops : architecture] as string)
    } catch (error) {
      if (error instanceof SpaceError) throw new RecordedTableError(`${at}: ${error.message}`, { cause: error })
      throw error
    }
  }
}

type Options = { readonly space: SpaceRef; readonly metric: string; readonly name: string }

/** Throws RecordedTableError, and SpaceError where the space's settings contradict each other. */
function readRecordedTable(text: string, { space: ref, metric, name }: Options): RecordedBenchmark {
  const space = createSpace(ref)
  const { columns, rows } = splitTable(text)
  const find = (wanted: string): number | null => (columns.includes(wanted) ? columns.indexOf(wanted) : null)
  const named = columns.join(', ')
  const pathOf = pathReader(space, columns)
  if (!pathOf) throw new RecordedTableError(`expected a column called architecture or ops, got ${named}`)
  const valid = find(`${metric}_valid`) ?? find(metric)
  if (valid === null) throw new RecordedTableError(`expected a column called ${metric}_valid or ${metric}, got ${named}`)
  const test = find(`${metric}_test`)
  const seconds = find('seconds')
  const index = find('index')

  const records = new Map<string, Recorded>()
  const paths: Path[] = []
  const indices = new Map<string, Path>()
  for (const row of rows) {
    const { fields, at } = row
    const numberAt = (column: number, most: number): number => {
      const value = Number(fields[column])
      if (fields[column] !== '' && value >= 0 && value <= most) return value
      const expected = most === MAX_PERCENT ? 'a percentage from 0 to 100' : 'a number of seconds, 0 or more'
      throw new RecordedTableError(`${at}, ${columns[column]}: expected ${expected}, got "${fields[column]}"`)
    }
    const path = pathOf(row)
    const key = path.join()
    if (records.has(key)) throw new RecordedTableError(`${at}: this architecture has a row before`)
    paths.push(path)
    if (index !== null) indices.set(fields[index] as string, path)
    records.set(key, {
      accuracies: [numberAt(valid, MAX_PERCENT) / MAX_PERCENT],
      test: test === null ? null : numberAt(test, MAX_PERCENT) / MAX_PERCENT,
      seconds: seconds === null ? null : numberAt(seconds, Number.MAX_VALUE),
    })
  }
  if (records.size === 0) throw new RecordedTableError('expected a row for each architecture, got none')
  return {
    name,
    citation: name,
    space: resolveSpaceConfig(ref),
    images: IMAGES,
    paths: () => paths,
    pathOfIndex: (row) => indices.get(row),
    read: (path) => records.get(path.join()) ?? 'not-recorded',
  }
}

export { pathReader, readRecordedTable, RecordedTableError, type Row, splitTable }
