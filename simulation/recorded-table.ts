// Recorded trainings as a table in text (recorded-text.ts):
//
//   architecture, ops   one of both
//   METRIC_valid        accuracy that a search is shown, percent; or a column that is called METRIC alone
//   METRIC_test         accuracy on images that no search is shown, percent; may be missing
//   METRIC_valid_Nep    accuracy that a search is shown after a training of N epochs; may be missing, as may
//   METRIC_cost_Nep_s   the seconds of that training
//   seconds             of the training, or a column of another name; may be missing
//
// All its other columns, and those of a second table, may be asked for as costs.

import { createSpace, type Path, resolveSpaceConfig, type SpaceRef } from '../search-space/index.ts'
import type { EarlyRecord, Recorded, RecordedBenchmark } from './recorded-benchmark.ts'
import { createRecordedCosts } from './recorded-costs.ts'
import { findColumn, numberAt, pathReader, readTextTable, RecordedTableError, type TextTable } from './recorded-text.ts'

/** Accuracies come as percentages with up to four places, which counts of so many images hold. */
const IMAGES = 1_000_000
const MAX_PERCENT = 100

type Options = {
  readonly space: SpaceRef
  readonly metric: string
  readonly seconds?: string
  readonly name: string
  /** Of the trainings, where it is known; default: null. */
  readonly epochs?: number | null
  /** Text of a table of costs of the same architectures. */
  readonly costs?: string | undefined
}

/** Columns of trainings of fewer epochs, by these. */
function earlyColumns(table: TextTable, metric: string): { epochs: number; valid: number; seconds: number | null }[] {
  return table.columns
    .flatMap((name, valid) => {
      const text = name.startsWith(`${metric}_valid_`) ? /^(\d+)ep$/.exec(name.slice(`${metric}_valid_`.length))?.[1] : undefined
      return text === undefined ? [] : [{ epochs: Number(text), valid, seconds: findColumn(table, `${metric}_cost_${text}ep_s`) }]
    })
    .toSorted((a, b) => a.epochs - b.epochs)
}

/** Throws RecordedTableError, and SpaceError where the space's settings contradict each other. */
function readRecordedTable(text: string, options: Options): RecordedBenchmark {
  const { space: ref, metric, seconds: secondsColumn = 'seconds', name, epochs = null, costs } = options
  const space = createSpace(ref)
  const table = readTextTable(text)
  const pathOf = pathReader(table, space)
  const valid = findColumn(table, `${metric}_valid`) ?? findColumn(table, metric)
  if (valid === null) {
    throw new RecordedTableError(`expected a column called ${metric}_valid or ${metric}, got ${table.columns.join(', ')}`)
  }
  const test = findColumn(table, `${metric}_test`)
  const seconds = findColumn(table, secondsColumn)
  const earlier = earlyColumns(table, metric)
  const index = findColumn(table, 'index')

  const records = new Map<string, Recorded>()
  const paths: Path[] = []
  const byIndex = new Map<string, Path>()
  for (const row of table.rows) {
    const path = pathOf(row) as Path
    const key = path.join()
    if (records.has(key)) throw new RecordedTableError(`${row.at}: this architecture has a row before`)
    const percentAt = (column: number) => numberAt(table, row, column, MAX_PERCENT, 'a percentage from 0 to 100') / MAX_PERCENT
    const secondsAt = (column: number | null) =>
      column === null ? null : numberAt(table, row, column, Number.MAX_VALUE, 'a number of seconds, 0 or more')
    paths.push(path)
    if (index !== null) byIndex.set(row.fields[index] as string, path)
    const early = earlier.map((column): EarlyRecord => ({
      epochs: column.epochs,
      accuracy: percentAt(column.valid),
      seconds: secondsAt(column.seconds),
    }))
    records.set(key, {
      accuracies: [percentAt(valid)],
      test: test === null ? null : percentAt(test),
      seconds: secondsAt(seconds),
      ...(early.length > 0 && { early }),
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
    epochs,
    paths: () => paths,
    byIndex,
    read: (path) => records.get(path.join()) ?? 'not-recorded',
    costs: createRecordedCosts(costTables),
  }
}

export { readRecordedTable }
