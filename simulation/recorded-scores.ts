// Scores of architectures that somebody has computed and written down, as a table in text beside one of trainings (recorded-table.ts):
//
//   architecture, ops   as there
//   index               instead of them: that of the row of the same architecture in the table of trainings
//   SCORE_METRIC        for example naswot_c10; or SCORE alone; or SCORE_ and anything, where there is one such column only
//
// inf, −inf and nan are what networks have that have no score. Parameters and multiply-accumulates follow from the space.

import { type ResultOf, type ScoreName, scoreNames, type WorkOf } from '../protocol/index.ts'
import { architectureCosts, createSpace, type Path } from '../search-space/index.ts'
import type { RecordedBenchmark, RecordedScores } from './recorded-benchmark.ts'
import { pathReader, readTextTable, RecordedTableError } from './recorded-text.ts'

type Values = ReadonlyMap<ScoreName, number | null>

/** The column of each score that the table has. */
function scoreColumns(columns: readonly string[], metric: string): [ScoreName, number][] {
  return scoreNames.flatMap((name): [ScoreName, number][] => {
    const others = columns.filter((column) => column.startsWith(`${name}_`))
    const column = [`${name}_${metric}`, name, ...(others.length === 1 ? others : [])].find((wanted) => columns.includes(wanted))
    return column === undefined ? [] : [[name, columns.indexOf(column)]]
  })
}

function parseScore(text: string, at: string): number | null {
  if (/^[+-]?(inf|infinity|nan)$/i.test(text)) return null
  const value = Number(text)
  if (text !== '' && Number.isFinite(value)) return value
  throw new RecordedTableError(`${at}: expected a number, inf or nan, got "${text}"`)
}

function readTable(text: string, benchmark: RecordedBenchmark, metric: string): ReadonlyMap<string, Values> {
  const table = readTextTable(text)
  const { columns, rows } = table
  const read = pathReader(table, createSpace(benchmark.space), benchmark.byIndex ?? new Map())
  const pathOf = (row: (typeof rows)[number]): Path => {
    const path = read(row)
    if (path) return path
    throw new RecordedTableError(`${row.at}: expected the index of a row of the recorded trainings`)
  }
  const wanted = scoreColumns(columns, metric)
  if (wanted.length === 0) throw new RecordedTableError(`expected a column for one of ${scoreNames.join(', ')}, got ${columns.join(', ')}`)
  return new Map(
    rows.map((row) => {
      const values = wanted.map(([name, column]) => {
        return [name, parseScore(row.fields[column] as string, `${row.at}, ${columns[column]}`)] as const
      })
      return [pathOf(row).join(), new Map(values)]
    }),
  )
}

/**
 * Throws RecordedTableError for a table of another form.
 *
 * @param text null where there is no table: then there are parameters and multiply-accumulates only
 */
function createRecordedScores(text: string | null, benchmark: RecordedBenchmark, metric: string): RecordedScores {
  const table = text === null ? null : readTable(text, benchmark, metric)
  const space = createSpace(benchmark.space)
  return {
    read(name, path) {
      const { macs, parameters } = architectureCosts(space, path)
      if (name === 'params') return parameters
      if (name === 'macs') return macs
      const value = table?.get(path.join())?.get(name)
      return value === undefined ? 'not-recorded' : value
    },
  }
}

/** As an agent would answer. Null where a score of an architecture is not recorded. */
function answerScores({ scores }: RecordedBenchmark, { paths, scores: names }: WorkOf<'score'>): ResultOf<'score'> | null {
  const answers = paths.map((path) => names.map((name) => scores?.read(name, path) ?? (scores ? null : 'not-recorded')))
  const isComplete = (values: readonly (number | null | 'not-recorded')[]): values is (number | null)[] => !values.includes('not-recorded')
  const complete = answers.filter(isComplete)
  if (complete.length < answers.length) return null
  return { kind: 'score', paths: complete.map((values) => ({ values, seconds: values.map(() => 0) })) }
}

export { answerScores, createRecordedScores }
