// Recorded trainings as a table in text: a header, then a row for each architecture, fields with commas between them and quotes
// around those that hold commas.
//
//   architecture        as `gatehouse derive` prints it, with or without the space's name and colon
//   ops                 instead of it: one digit for each decision, its option (as NAS-Bench-201 is carried around)
//   METRIC_valid        accuracy that a search is shown, percent; or a column that is called METRIC alone
//   METRIC_test         accuracy on images that no search is shown, percent; may be missing
//   seconds             of the training; may be missing
//   METRIC_valid_Nep    accuracy that a search is shown after a training of N epochs; may be missing, as may
//   METRIC_cost_Nep_s   the seconds of that training

import { createSpace, parseArchitecture, type Path, resolveSpaceConfig, type SpaceRef, SpaceError } from '../search-space/index.ts'
import type { EarlyRecord, Recorded, RecordedBenchmark } from './recorded-benchmark.ts'

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

type Options = {
  readonly space: SpaceRef
  readonly metric: string
  readonly name: string
  /** Of the trainings, where it is known; default: null. */
  readonly epochs?: number | null
}

/** Columns of trainings of fewer epochs, by these. */
function earlyColumns(columns: readonly string[], metric: string): { epochs: number; valid: number; seconds: number | null }[] {
  return columns
    .flatMap((name, valid) => {
      const text = name.startsWith(`${metric}_valid_`) ? /^(\d+)ep$/.exec(name.slice(`${metric}_valid_`.length))?.[1] : undefined
      if (text === undefined) return []
      const seconds = columns.indexOf(`${metric}_cost_${text}ep_s`)
      return [{ epochs: Number(text), valid, seconds: seconds === -1 ? null : seconds }]
    })
    .toSorted((a, b) => a.epochs - b.epochs)
}

/** Throws RecordedTableError, and SpaceError where the space's settings contradict each other. */
function readRecordedTable(text: string, { space: ref, metric, name, epochs = null }: Options): RecordedBenchmark {
  const space = createSpace(ref)
  const [header = '', ...rows] = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const columns = splitRow(header)
  const find = (wanted: string): number | null => (columns.includes(wanted) ? columns.indexOf(wanted) : null)
  const named = columns.join(', ')
  const [architecture, ops] = [find('architecture'), find('ops')]
  if (architecture === null && ops === null) {
    throw new RecordedTableError(`expected a column called architecture or ops, got ${named}`)
  }
  const valid = find(`${metric}_valid`) ?? find(metric)
  if (valid === null) throw new RecordedTableError(`expected a column called ${metric}_valid or ${metric}, got ${named}`)
  const test = find(`${metric}_test`)
  const seconds = find('seconds')
  const earlier = earlyColumns(columns, metric)

  const pathOf = (field: string): Path => {
    if (architecture !== null) return parseArchitecture(space, field.startsWith(`${space.name}:`) ? field : `${space.name}:${field}`)
    const path = [...field].map(Number)
    const fits = path.length === space.decisions.length && path.every((option, index) => space.decisions[index]?.options[option])
    if (!fits) throw new SpaceError('encoding', 'ops', `expected a digit for each of ${space.decisions.length} decisions, got "${field}"`)
    return path
  }
  const records = new Map<string, Recorded>()
  const paths: Path[] = []
  for (const [index, line] of rows.entries()) {
    if (line.trim() === '') continue
    const at = `line ${index + 2}`
    const fields = splitRow(line)
    if (fields.length !== columns.length) throw new RecordedTableError(`${at}: expected ${columns.length} fields, got ${fields.length}`)
    const numberAt = (column: number, most: number): number => {
      const value = Number(fields[column])
      if (fields[column] !== '' && value >= 0 && value <= most) return value
      const expected = most === MAX_PERCENT ? 'a percentage from 0 to 100' : 'a number of seconds, 0 or more'
      throw new RecordedTableError(`${at}, ${columns[column]}: expected ${expected}, got "${fields[column]}"`)
    }
    let path: Path
    try {
      path = pathOf(fields[(architecture ?? ops) as number] as string)
    } catch (error) {
      if (error instanceof SpaceError) throw new RecordedTableError(`${at}: ${error.message}`, { cause: error })
      throw error
    }
    const key = path.join()
    if (records.has(key)) throw new RecordedTableError(`${at}: this architecture has a row before`)
    paths.push(path)
    const early = earlier.map((column): EarlyRecord => ({
      epochs: column.epochs,
      accuracy: numberAt(column.valid, MAX_PERCENT) / MAX_PERCENT,
      seconds: column.seconds === null ? null : numberAt(column.seconds, Number.MAX_VALUE),
    }))
    records.set(key, {
      accuracies: [numberAt(valid, MAX_PERCENT) / MAX_PERCENT],
      test: test === null ? null : numberAt(test, MAX_PERCENT) / MAX_PERCENT,
      seconds: seconds === null ? null : numberAt(seconds, Number.MAX_VALUE),
      ...(early.length > 0 && { early }),
    })
  }
  if (records.size === 0) throw new RecordedTableError('expected a row for each architecture, got none')
  return {
    name,
    citation: name,
    space: resolveSpaceConfig(ref),
    images: IMAGES,
    epochs,
    paths: () => paths,
    read: (path) => records.get(path.join()) ?? 'not-recorded',
  }
}

export { readRecordedTable, RecordedTableError }
