// Latency tables as text.

import { type Column, printable, renderTable } from '../../../command-line/text-layout.ts'
import type { TableSummary } from '../../../protocol/index.ts'
import { agreementOf, correct } from '../../table/agreement.ts'
import type { Comparison } from '../../table/comparison.ts'
import { LatencyKeyError, parseTableKey, type TableOperation } from '../../table/keys.ts'
import type { HeldOut, Refused } from '../../table/prediction.ts'
import type { TypeFit } from '../../table/predictor.ts'
import type { Correction, LatencyEntry, LatencyTable } from '../../table/table.ts'
import type { Beside, CheckedNetwork } from '../node/profile.ts'

const SLOWEST_SHOWN = 8
const BAR_WIDTH = 32
const VERSION_DIGITS = 12

type Row = { readonly key: string; readonly entry: LatencyEntry; readonly operation: TableOperation | null }

/** Four significant digits, never an exponent. */
function printMs(ms: number): string {
  const digits = ms > 0 ? Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(ms)))) : 0
  return ms.toFixed(digits)
}

/** What a correction makes of the sum of a table's entries. */
function printCorrection({ offsetMs, factor }: Correction): string {
  return `${offsetMs < 0 ? '-' : ''}${printMs(Math.abs(offsetMs))} ms + ${factor.toFixed(4)} times the sum`
}

function printShare(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

function printPct(percent: number): string {
  return printShare(percent / 100)
}

/** Eighths of a character: bars of 1 and 1.1 ms still differ. */
function bar(share: number): string {
  const eighths = Math.max(1, Math.round(share * BAR_WIDTH * 8))
  return '█'.repeat(eighths >> 3) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths & 7]
}

function readRows(table: LatencyTable): Row[] {
  return Object.entries(table.entries).map(([key, entry]) => {
    try {
      return { key, entry, operation: parseTableKey(key) }
    } catch (error) {
      if (error instanceof LatencyKeyError) return { key, entry, operation: null }
      throw error
    }
  })
}

function printRow({ key, entry }: Row): string[] {
  const { meanMs, stdMs, count, predicted } = entry
  return predicted
    ? [printMs(meanMs), `±${printPct(predicted.mapePct)}`, 'predicted', printable(key)]
    : [printMs(meanMs), `±${printMs(stdMs)}`, String(count), printable(key)]
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
    if (operation?.type !== 'expanded_conv' && operation?.type !== 'expanded_conv with se and hs') continue
    const { input, output, stride, shortcut, kernel } = operation
    const place = `${input.join('x')} to ${output.join('x')}${stride > 1 ? `, stride ${stride}` : ''}${shortcut ? ', shortcut' : ''}`
    const operations = places.get(place) ?? []
    const expand = operation.type === 'expanded_conv' ? operation.expand : `to ${operation.expandedWidth}`
    const extras = operation.type === 'expanded_conv' ? '' : `${operation.squeezeExcite ? ' se' : ''}${operation.hardSwish ? ' hs' : ''}`
    operations.push({ label: `expand ${expand} kernel ${kernel}${extras}${entry.predicted ? ' predicted' : ''}`, entry })
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

/** Beyond these a table was measured on a machine that did other things; a quiet one stays well below (docs/latency.md). */
const NOISY = { halfWidthPct: 4, droppedPct: 20, driftPct: 10, waitedPct: 50 } as const

/** What makes a table's figures doubtful; empty for a table that says nothing of it, or nothing bad. */
function qualityWarnings({ quality }: LatencyTable): string[] {
  if (!quality) return []
  const { halfWidthPct, droppedPct, driftPct, waitedPct = 0, rounds } = quality
  const reasons = [
    ...(halfWidthPct === undefined ? [`${rounds} rounds are too few to say how certain the figures are`] : []),
    ...(halfWidthPct !== undefined && halfWidthPct > NOISY.halfWidthPct
      ? [`half of the figures are known to no better than ±${printPct(halfWidthPct)}`]
      : []),
    ...(droppedPct > NOISY.droppedPct ? [`${printPct(droppedPct)} of the runs were outliers`] : []),
    ...(waitedPct > NOISY.waitedPct ? [`others had the processor ${printPct(waitedPct)} of the time`] : []),
    ...(driftPct > NOISY.driftPct ? [`rounds differed in speed by ${printPct(driftPct)}`] : []),
  ]
  return reasons.length === 0 ? [] : [`${reasons.join('; ')}. Measure again on a machine that does nothing else, or with a larger --budget`]
}

function renderQuality({ quality, correction }: LatencyTable): string[] {
  const lines: string[] = []
  if (quality) {
    const { rounds, halfWidthPct, worstHalfWidthPct, droppedPct, driftPct, waitedPct } = quality
    const known =
      halfWidthPct === undefined || worstHalfWidthPct === undefined
        ? ''
        : `known to ±${printPct(halfWidthPct)} (the worst to ±${printPct(worstHalfWidthPct)}), `
    lines.push(
      `quality   ${rounds} rounds, ${known}${printPct(droppedPct)} of the runs dropped, drift ${printPct(driftPct)}${waitedPct === undefined ? '' : `, waited ${printPct(waitedPct)} of the time`}`,
    )
  }
  if (correction) lines.push(`corrected ${printCorrection(correction)}, fitted to ${correction.networks} networks`)
  return lines
}

/** What a table is of, what it adds up to, how good it is, and its slowest operations. */
function renderSummary(table: LatencyTable): string {
  const { device, runtime } = table
  const rows = readRows(table)
  const bySpeed = rows.toSorted((a, b) => b.entry.meanMs - a.entry.meanMs)
  const predicted = rows.filter(({ entry }) => entry.predicted !== undefined).length
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
    ...(predicted === 0 ? [] : [`predicted ${predicted} of the entries; the others were measured`]),
    `fixed     ${printMs(table.fixedMs)} ms, and ${printMs(sumMs(singleRows(rows)))} ms in operations other than expanded_conv`,
    ...renderQuality(table),
    ...qualityWarnings(table).map((warning) => `warning   ${warning}`),
    '',
    'Slowest operations',
    renderTable(rowColumns, bySpeed.slice(0, SLOWEST_SHOWN).map(printRow), '  '),
  ].join('\n')
}

function singleRows(rows: readonly Row[]): Row[] {
  return rows.filter(({ operation }) => !operation?.type.startsWith('expanded_conv'))
}

function renderLatencyTable(table: LatencyTable): string {
  const rows = readRows(table)
  const single = singleRows(rows)
  return [
    renderSummary(table),
    ...(single.length === 0 ? [] : ['', 'Operations other than expanded_conv', renderTable(rowColumns, single.map(printRow), '  ')]),
    ...renderPlaces(rows),
  ].join('\n')
}

/** Predicted next to measured, and how far apart they are. */
function renderChecks(networks: readonly CheckedNetwork[], meanAbsoluteError: number, correction: Correction | null): string {
  const rows = networks.map(({ architecture, predictedMs, measuredMs }) => {
    const error = predictedMs / measuredMs - 1
    return [printMs(predictedMs), printMs(measuredMs), `${error < 0 ? '-' : '+'}${printShare(Math.abs(error))}`, architecture]
  })
  return [
    `Sum of entries against whole networks: ${printShare(meanAbsoluteError)} off on average`,
    renderTable([right('predicted ms'), right('measured ms'), right('error'), { title: 'architecture' }], rows, '  '),
    ...(correction ? [renderCorrection(networks, correction)] : []),
  ].join('\n')
}

function renderCorrection(networks: readonly CheckedNetwork[], correction: Correction): string {
  const { mapePct } = agreementOf(networks.map((network) => ({ ...network, predictedMs: correct(network.predictedMs, correction) })))
  return `Corrected: ${printCorrection(correction)}, which leaves ${printPct(mapePct)} of the networks that it was fitted to`
}

function renderMeasured(architecture: string, batch: number, { meanMs, stdMs, count }: LatencyEntry): string {
  return `${printMs(meanMs)} ms ±${printMs(stdMs)} for a batch of ${batch}, median of ${count} runs: ${architecture}`
}

/** Beyond it a prediction, or a machine, is another than it was taken for. */
const FAR_OFF = 0.1

function renderBeside(architecture: string, batch: number, beside: Beside): string {
  const { measuredMs, predictedMs, predictedNowMs, pace, measuredAtPaceMs } = beside
  const apart = predictedMs / measuredAtPaceMs - 1
  return [
    `${architecture}, batch of ${batch}`,
    `  measured   ${printMs(measuredMs)} ms; its operations in the same rounds ${printMs(predictedNowMs)} ms`,
    `  predicted  ${printMs(predictedMs)} ms by the table, ${apart < 0 ? '' : '+'}${printPct(100 * apart)} of the ${printMs(measuredAtPaceMs)} ms at the speed that the machine had then`,
    ...(Math.abs(apart) > FAR_OFF
      ? [`  warning: sums of this table are off by more than ${FAR_OFF * 100} %; measure a correction with validate --store`]
      : []),
    ...(Math.abs(pace - 1) > FAR_OFF
      ? [`  warning: operations take ${pace.toFixed(2)} times as long as when the table was measured: something else runs, or ran then`]
      : []),
  ].join('\n')
}

type CoveredKey = {
  readonly key: string
  /** Null where the table lacks it. */
  readonly meanMs: number | null
  readonly isPredicted: boolean
  /** What F would say of a missing key; null if F cannot tell, or the key is there. */
  readonly predictedMs: number | null
}

function renderCoverage(title: string, keys: readonly CoveredKey[]): string {
  const missing = keys.filter(({ meanMs }) => meanMs === null)
  const predictable = missing.filter(({ predictedMs }) => predictedMs !== null).length
  return [
    `${title}: ${missing.length === 0 ? `all ${keys.length} keys present` : `${missing.length} of ${keys.length} keys missing`}`,
    ...(missing.length === 0 ? [] : [`${predictable} of the missing can be predicted, as shown with "~": latency-lut predict`]),
    renderTable(
      [{ title: '' }, right('ms'), { title: 'key' }],
      keys.map(({ key, meanMs, isPredicted, predictedMs }) => {
        if (meanMs === null) return ['MISSING', predictedMs === null ? '' : `~${printMs(predictedMs)}`, key]
        return [isPredicted ? 'predicted' : 'present', printMs(meanMs), key]
      }),
      '  ',
    ),
  ].join('\n')
}

function renderRefused(refused: readonly Refused[]): string[] {
  if (refused.length === 0) return []
  return ['', 'Cannot be predicted', ...refused.flatMap(({ key, reason }) => [`  ${printable(key)}`, `    ${reason}`])]
}

/** How good F is, per type of operation, and what it is made of. */
function renderFits(table: string, fits: readonly TypeFit[]): string {
  if (fits.length === 0) return `${table} has too few measured entries of every type to predict any other`
  return [
    `F of ${table}, cross-validated: every entry predicted by an F that was fitted without it`,
    renderTable(
      [{ title: 'type' }, right('entries'), right('folds'), right('RMSE ms'), right('MAPE')],
      fits.map(({ type, entries, folds, rmseMs, mapePct }) => [type, String(entries), String(folds), printMs(rmseMs), printPct(mapePct)]),
      '  ',
    ),
    ...fits.flatMap(({ type, weightsNs }) => [
      '',
      `${type}, nanoseconds per unit`,
      renderTable(
        [right('ns'), { title: 'unit' }],
        Object.entries(weightsNs).map(([name, ns]) => [String(Number(ns.toPrecision(3))), name]),
        '  ',
      ),
    ]),
  ].join('\n')
}

function renderPredicted(
  space: string,
  predicted: readonly { readonly key: string; readonly meanMs: number }[],
  refused: readonly Refused[],
): string {
  return [
    predicted.length === 0 && refused.length === 0
      ? `nothing of ${space} is missing`
      : `${predicted.length} of the ${predicted.length + refused.length} missing keys of ${space} predicted`,
    ...(predicted.length === 0
      ? []
      : [
          renderTable(
            [right('ms'), { title: 'key' }],
            predicted.map(({ key, meanMs }) => [printMs(meanMs), key]),
            '  ',
          ),
        ]),
    ...renderRefused(refused),
  ].join('\n')
}

function printError(ratio: number): string {
  return `${ratio < 1 ? '-' : '+'}${printShare(Math.abs(ratio - 1))}`
}

function renderHeldOut(table: string, every: number, { entries, refused, rmseMs, mapePct }: HeldOut): string {
  return [
    entries.length === 0
      ? `every ${every}th entry of ${table} held out: none of them can be predicted`
      : `every ${every}th entry of ${table} held out, ${entries.length} predicted: MAPE ${printPct(mapePct)}, RMSE ${printMs(rmseMs)} ms`,
    renderTable(
      [right('predicted ms'), right('measured ms'), right('error'), { title: 'key' }],
      entries.map(({ key, predictedMs, measuredMs }) => [
        printMs(predictedMs),
        printMs(measuredMs),
        printError(predictedMs / measuredMs),
        printable(key),
      ]),
      '  ',
    ),
    ...renderRefused(refused),
  ].join('\n')
}

function renderComparison(a: string, b: string, { onlyInA, onlyInB, common, overall }: Comparison): string {
  const only = (table: string, keys: readonly string[]) =>
    keys.length === 0 ? [] : ['', `Only in ${table}`, ...keys.map((key) => `  ${printable(key)}`)]
  return [
    `${common.length} keys in both, ${onlyInA.length} only in ${a}, ${onlyInB.length} only in ${b}`,
    ...(common.length === 0
      ? []
      : [
          `all of both: ${printMs(overall.aMs)} and ${printMs(overall.bMs)} ms, ratio ${overall.ratio.toFixed(3)}; ` +
            `typical ratio of a key ${overall.typicalRatio.toFixed(3)} (geometric mean)`,
          '',
          renderTable(
            [right(`${a} ms`), right(`${b} ms`), right('ratio'), { title: 'key' }],
            common
              .toSorted((one, other) => other.ratio - one.ratio)
              .map(({ key, aMs, bMs, ratio }) => [printMs(aMs), printMs(bMs), ratio.toFixed(3), printable(key)]),
            '  ',
          ),
        ]),
    ...only(a, onlyInA),
    ...only(b, onlyInB),
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

export {
  bar,
  type CoveredKey,
  printCorrection,
  printMs,
  printPct,
  qualityWarnings,
  renderChecks,
  renderComparison,
  renderCoverage,
  renderFits,
  renderHeldOut,
  renderLatencyTable,
  renderList,
  renderBeside,
  renderMeasured,
  renderPredicted,
  renderSummary,
}
