// Latency tables as text.

import { type Column, printable, renderTable } from '../../command-line/text-layout.ts'
import type { TableSummary } from '../../coordinator/protocol/index.ts'
import { LatencyKeyError, parseLatencyKey } from '../keys.ts'
import type { LatencyEntry, LatencyTable } from '../table.ts'
import type { LatencyOperation } from '../../search-space/index.ts'
import type { CheckedNetwork } from './profile.ts'

const SLOWEST_SHOWN = 8
const BAR_WIDTH = 32
const VERSION_DIGITS = 12

type Row = { readonly key: string; readonly entry: LatencyEntry; readonly operation: LatencyOperation | null }

/** Four significant digits, never an exponent. */
function printMs(ms: number): string {
  const digits = ms > 0 ? Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(ms)))) : 0
  return ms.toFixed(digits)
}

function printShare(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

/** Eighths of a character: bars of 1 and 1.1 ms still differ. */
function bar(share: number): string {
  const eighths = Math.max(1, Math.round(share * BAR_WIDTH * 8))
  return '█'.repeat(eighths >> 3) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths & 7]
}

function readRows(table: LatencyTable): Row[] {
  return Object.entries(table.entries).map(([key, entry]) => {
    try {
      return { key, entry, operation: parseLatencyKey(key) }
    } catch (error) {
      if (error instanceof LatencyKeyError) return { key, entry, operation: null }
      throw error
    }
  })
}

function printRow({ key, entry }: Row): string[] {
  return [printMs(entry.meanMs), `±${printMs(entry.stdMs)}`, String(entry.count), printable(key)]
}

function right(title: string): Column {
  return { title, align: 'right' }
}

const rowColumns = [right('ms'), right('std'), right('runs'), { title: 'operation' }]

function sumMs(rows: readonly Row[]): number {
  return rows.reduce((total, { entry }) => total + entry.meanMs, 0)
}

/** One chart per place in the network: its operations, each with a bar to the scale of the slowest of the table. */
function renderPlaces(rows: readonly Row[]): string[] {
  const places = new Map<string, { label: string; entry: LatencyEntry }[]>()
  for (const { operation, entry } of rows) {
    if (operation?.type !== 'expanded_conv') continue
    const { input, output, stride, shortcut, expand, kernel } = operation
    const place = `${input.join('x')} to ${output.join('x')}${stride > 1 ? `, stride ${stride}` : ''}${shortcut ? ', shortcut' : ''}`
    const operations = places.get(place) ?? []
    operations.push({ label: `expand ${expand} kernel ${kernel}`, entry })
    places.set(place, operations)
  }
  const slowest = Math.max(...[...places.values()].flat().map(({ entry }) => entry.meanMs))
  return [...places].flatMap(([place, operations]) => {
    const labelWidth = Math.max(...operations.map(({ label }) => label.length))
    const valueWidth = Math.max(...operations.map(({ entry }) => printMs(entry.meanMs).length))
    const lines = operations.map(
      ({ label, entry }) => `  ${label.padEnd(labelWidth)}  ${printMs(entry.meanMs).padStart(valueWidth)}  ${bar(entry.meanMs / slowest)}`,
    )
    return ['', place].concat(lines)
  })
}

function renderLatencyTable(table: LatencyTable): string {
  const { device, runtime } = table
  const rows = readRows(table)
  const bySpeed = rows.toSorted((a, b) => b.entry.meanMs - a.entry.meanMs)
  const single = rows.filter(({ operation }) => operation?.type !== 'expanded_conv')
  const fastest = bySpeed.at(-1)?.entry.meanMs ?? 0
  const slowest = bySpeed[0]?.entry.meanMs ?? 0
  const threads = runtime.threads === undefined ? [] : [runtime.threads === 1 ? '1 thread' : `${runtime.threads} threads`]
  return [
    `table     ${table.name}`,
    `device    ${printable([device.name, ...(device.os === undefined ? [] : [device.os])].join(', '))}`,
    `runtime   ${printable([runtime.name, ...(runtime.version === undefined ? [] : [runtime.version]), ...threads].join(', '))}`,
    `input     ${table.inputShape.join('x')}, batch ${table.batch}`,
    ...(table.measuredAt === undefined ? [] : [`measured  ${table.measuredAt}`]),
    `entries   ${rows.length}, ${printMs(fastest)} to ${printMs(slowest)} ms, ${printMs(sumMs(rows))} ms in all`,
    `fixed     ${printMs(table.fixedMs)} ms, and ${printMs(sumMs(single))} ms in operations other than expanded_conv`,
    '',
    'Slowest operations',
    renderTable(rowColumns, bySpeed.slice(0, SLOWEST_SHOWN).map(printRow), '  '),
    ...(single.length === 0 ? [] : ['', 'Operations other than expanded_conv', renderTable(rowColumns, single.map(printRow), '  ')]),
    ...renderPlaces(rows),
  ].join('\n')
}

/** Predicted next to measured, and how far apart they are. */
function renderChecks(networks: readonly CheckedNetwork[], meanAbsoluteError: number): string {
  const rows = networks.map(({ architecture, predictedMs, measuredMs }) => {
    const error = predictedMs / measuredMs - 1
    return [printMs(predictedMs), printMs(measuredMs), `${error < 0 ? '-' : '+'}${printShare(Math.abs(error))}`, architecture]
  })
  return [
    `Sum of entries against whole networks: ${printShare(meanAbsoluteError)} off on average`,
    renderTable([right('predicted ms'), right('measured ms'), right('error'), { title: 'architecture' }], rows, '  '),
  ].join('\n')
}

function renderMeasured(architecture: string, batch: number, { meanMs, stdMs, count }: LatencyEntry): string {
  return `${printMs(meanMs)} ms ±${printMs(stdMs)} for a batch of ${batch}, median of ${count} runs: ${architecture}`
}

function renderCoverage(title: string, keys: readonly { readonly key: string; readonly meanMs: number | null }[]): string {
  const missing = keys.filter(({ meanMs }) => meanMs === null).length
  return [
    `${title}: ${missing === 0 ? `all ${keys.length} keys present` : `${missing} of ${keys.length} keys missing`}`,
    renderTable(
      [{ title: '' }, right('ms'), { title: 'key' }],
      keys.map(({ key, meanMs }) => (meanMs === null ? ['MISSING', '', key] : ['present', printMs(meanMs), key])),
      '  ',
    ),
  ].join('\n')
}

function renderList(tables: readonly TableSummary[]): string {
  if (tables.length === 0) return 'no latency tables yet; "latency-lut publish FILE" publishes one'
  return renderTable(
    [
      { title: 'name' },
      { title: 'version' },
      { title: 'device' },
      { title: 'runtime' },
      right('batch'),
      right('entries'),
      { title: 'published' },
    ],
    tables.map((table) => [
      table.name,
      table.version.slice(0, VERSION_DIGITS),
      printable(table.device),
      printable(table.runtime),
      String(table.batch),
      String(table.entries),
      new Date(table.publishedAtMs).toISOString(),
    ]),
  )
}

export { renderChecks, renderCoverage, renderLatencyTable, renderList, renderMeasured }
