// A table as comma-separated values, one operation per line, for spreadsheets and for tables kept in the columns that NNI
// uses. RFC 4180 within a line; no line breaks inside quotes, which no column needs.

import { LatencyKeyError, parseTableKey } from '../../../table/keys.ts'
import type { LatencyEntry, LatencyTable } from '../../../table/table.ts'
import { latencyKey, type Shape } from '../../../../search-space/index.ts'
import { EntryCollector, type TableFormat, TableFormatError } from './table-format.ts'

const keyColumns = ['op', 'input_shape', 'output_shape', 'expand', 'kernel', 'stride', 'idskip'] as const
const figureColumns = ['mean_ms', 'std_ms', 'count'] as const
/** Only in files that hold predicted entries; empty for the others. */
const predictedColumns = ['predicted_rmse_ms', 'predicted_mape_pct'] as const
const requiredColumns = [...keyColumns, ...figureColumns] as const
const allColumns: ReadonlySet<string> = new Set([...requiredColumns, ...predictedColumns])

type Column = (typeof requiredColumns)[number] | (typeof predictedColumns)[number]
type Cells = Readonly<Partial<Record<Column, string>>>

/** The help of import and export says this. */
const CSV_DESCRIPTION = [
  'CSV: a header line and one line per operation, with the columns',
  `  ${requiredColumns.join(',')}`,
  'op is Conv, Conv_1, Logits, Projection or expanded_conv. Shapes are written 112x112x16,',
  'the output_shape of Logits as the number of classes. expand, kernel, stride and idskip',
  'are for expanded_conv only, stride for Projection too. Any other operation has its whole',
  'key under op, and the other columns up to idskip are empty. Two more columns are there',
  'where entries were predicted:',
  `  ${predictedColumns.join(',')}`,
].join('\n')

/** Cells of a line; null for quotes that do not match. */
function splitLine(line: string): string[] | null {
  const cells: string[] = []
  let rest = line
  for (;;) {
    const match = /^(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/.exec(rest)
    if (!match) return null
    cells.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim())
    if (match[3] === '') return cells
    rest = rest.slice(match[0].length)
  }
}

function quote(cell: string): string {
  return /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}

/** The key that a line's cells stand for; what is wrong with it is found when it is read. */
function keyOf(cells: Cells): string {
  const op = cells.op ?? ''
  const fields = (
    [
      ['input', cells.input_shape],
      ['output', cells.output_shape],
      ['expand', cells.expand],
      ['kernel', cells.kernel],
      ['stride', cells.stride],
      ['idskip', cells.idskip],
    ] as const
  ).flatMap(([name, cell]) => (cell ? [`${name}:${cell}`] : []))
  return [op, ...fields].join('-')
}

function cellsOf(key: string): Cells {
  const operation = readOperation(key)
  if (!operation || latencyKey(operation) !== key) return { op: key }
  const shape = (sizes: Shape) => sizes.join('x')
  const { type, input } = operation
  // They have fields that the table has no columns for.
  if (type === 'ConvActivation' || type === 'SplitDepthwise' || type === 'TreeBlock') return { op: key }
  if (type === 'Logits' || type === 'NormLogits') return { op: type, input_shape: shape(input), output_shape: String(operation.classes) }
  const shapes = { op: type, input_shape: shape(input), output_shape: shape(operation.output) }
  if (type === 'Projection') return { ...shapes, stride: String(operation.stride) }
  if (type === 'ConvLinear') return { ...shapes, idskip: operation.shortcut ? '1' : '0' }
  if (!('kernel' in operation)) return shapes
  const window = { kernel: String(operation.kernel), stride: String(operation.stride) }
  if (type !== 'expanded_conv') return { ...shapes, ...window }
  return { ...shapes, expand: String(operation.expand), ...window, idskip: operation.shortcut ? '1' : '0' }
}

/** Null for what the columns cannot hold. */
function readOperation(key: string) {
  try {
    const operation = parseTableKey(key)
    return operation.type === 'other' || operation.type === 'expanded_conv with se and hs' ? null : operation
  } catch (error) {
    if (error instanceof LatencyKeyError) return null
    throw error
  }
}

/** An empty cell is a missing figure; what is no number stays text, for the check to refuse. */
function numberOf(cell: string | undefined): unknown {
  if (cell === undefined || cell === '') return undefined
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell) ? Number(cell) : cell
}

function figuresOf(cells: Cells): unknown {
  const rmseMs = numberOf(cells.predicted_rmse_ms)
  const mapePct = numberOf(cells.predicted_mape_pct)
  return {
    meanMs: numberOf(cells.mean_ms),
    stdMs: numberOf(cells.std_ms),
    count: numberOf(cells.count),
    ...(rmseMs === undefined && mapePct === undefined ? {} : { predicted: { rmseMs, mapePct } }),
  }
}

/** Throws TableFormatError unless the names are the columns, in any order. */
function readHeader(line: string): readonly Column[] {
  const names = splitLine(line) ?? []
  const refuse = (message: string): never => {
    throw new TableFormatError([{ line: 1, message: `${message}; expected ${requiredColumns.join(',')}` }])
  }
  const unknown = names.find((name) => !allColumns.has(name))
  if (unknown !== undefined) refuse(`unknown column "${unknown}"`)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) refuse(`column ${twice} is there twice`)
  const missing = requiredColumns.filter((name) => !names.includes(name))
  if (missing.length > 0) refuse(`no column ${missing.join(', ')}`)
  return names as Column[]
}

function lineOf(key: string, { meanMs, stdMs, count, predicted }: LatencyEntry, columns: readonly Column[]): string {
  const cells: Cells = {
    ...cellsOf(key),
    mean_ms: String(meanMs),
    std_ms: String(stdMs),
    count: String(count),
    ...(predicted ? { predicted_rmse_ms: String(predicted.rmseMs), predicted_mape_pct: String(predicted.mapePct) } : {}),
  }
  return columns.map((column) => quote(cells[column] ?? '')).join(',')
}

const csvFormat: TableFormat = {
  extensions: ['csv'],
  holdsDescription: false,
  read(text) {
    const [header = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/)
    const columns = readHeader(header)
    const entries = new EntryCollector({ meanMs: 'mean_ms', stdMs: 'std_ms', count: 'count' })
    for (const [index, line] of lines.entries()) {
      if (line.trim() === '') continue
      const number = index + 2
      const values = splitLine(line)
      if (values === null) entries.report(number, 'quotes that do not match')
      else if (values.length !== columns.length) entries.report(number, `expected ${columns.length} cells, got ${values.length}`)
      else {
        const cells: Cells = Object.fromEntries(columns.map((column, position) => [column, values[position]]))
        entries.add(number, keyOf(cells), figuresOf(cells))
      }
    }
    return { description: {}, entries: entries.finish() }
  },
  write({ entries }: LatencyTable) {
    const hasPredicted = Object.values(entries).some(({ predicted }) => predicted !== undefined)
    const columns: readonly Column[] = hasPredicted ? [...requiredColumns, ...predictedColumns] : requiredColumns
    const lines = Object.entries(entries).map(([key, entry]) => lineOf(key, entry, columns))
    return `${[columns.join(','), ...lines].join('\n')}\n`
  },
}

export { CSV_DESCRIPTION, csvFormat }
