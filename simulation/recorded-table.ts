// Recorded trainings as a table in text (recorded-text.ts):
//
//   architecture, ops   one of both
//   METRIC_valid        accuracy that a search is shown, percent; or a column that is called METRIC alone
//   METRIC_test         accuracy on images that no search is shown, percent; may be missing
//   seconds             of the training, or a column of another name; may be missing
//
// All its other columns, and those of a second table, may be asked for as costs.

import { createSpace, type Path, resolveSpaceConfig, type SpaceRef } from '../search-space/index.ts'
import type { Recorded, RecordedBenchmark } from './recorded-benchmark.ts'
import { createRecordedCosts } from './recorded-costs.ts'
import { findColumn, numberAt, pathReader, readTextTable, RecordedTableError } from './recorded-text.ts'

/** Accuracies come as percentages with up to four places, which counts of so many images hold. */
const IMAGES = 1_000_000
const MAX_PERCENT = 100

type Options = {
  readonly space: SpaceRef
  readonly metric: string
  readonly seconds?: string
  readonly name: string
  /** Text of a table of costs of the same architectures. */
  readonly costs?: string | undefined
}

/** Throws RecordedTableError, and SpaceError where the space's settings contradict each other. */
function readRecordedTable(text: string, options: Options): RecordedBenchmark {
  const { space: ref, metric, seconds: secondsColumn = 'seconds', name, costs } = options
  const space = createSpace(ref)
  const table = readTextTable(text)
  const pathOf = pathReader(table, space)
  const valid = findColumn(table, `${metric}_valid`) ?? findColumn(table, metric)
  if (valid === null) {
    throw new RecordedTableError(`expected a column called ${metric}_valid or ${metric}, got ${table.columns.join(', ')}`)
  }
  const test = findColumn(table, `${metric}_test`)
  const seconds = findColumn(table, secondsColumn)
  const index = findColumn(table, 'index')

  const records = new Map<string, Recorded>()
  const paths: Path[] = []
  const byIndex = new Map<string, Path>()
  for (const row of table.rows) {
    const path = pathOf(row) as Path
    const key = path.join()
    if (records.has(key)) throw new RecordedTableError(`${row.at}: this architecture has a row before`)
    const percentAt = (column: number) => numberAt(table, row, column, MAX_PERCENT, 'a percentage from 0 to 100') / MAX_PERCENT
    paths.push(path)
    if (index !== null) byIndex.set(row.fields[index] as string, path)
    records.set(key, {
      accuracies: [percentAt(valid)],
      test: test === null ? null : percentAt(test),
      seconds: seconds === null ? null : numberAt(table, row, seconds, Number.MAX_VALUE, 'a number of seconds, 0 or more'),
    })
  }
  if (records.size === 0) throw new RecordedTableError('expected a row for each architecture, got none')
  const costTables = [{ table, pathOf }]
  if (costs !== undefined) {
    const second = readTextTable(costs)
    costTables.unshift({ table: second, pathOf: pathReader(second, space, byIndex) })
  }
  return {
    name,
    citation: name,
    space: resolveSpaceConfig(ref),
    images: IMAGES,
    paths: () => paths,
    byIndex,
    read: (path) => records.get(path.join()) ?? 'not-recorded',
    costs: createRecordedCosts(costTables),
  }
}

export { readRecordedTable }
