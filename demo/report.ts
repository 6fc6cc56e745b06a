// What the demo shows at its end, and the one JSON object of --json.

import type { SearchStatus } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'

/** Once. */
type Trained = { readonly architecture: string; readonly accuracy: number }

/** How much more accurate the derived architecture is than random ones of equal latency, and how much of that may be chance; shares of images. */
type Gain = { readonly difference: number; readonly standardError: number }

type DemoResult = {
  readonly seconds: number
  readonly targetLatencyMs: number
  /** Sum of the latency table for the derived architecture. */
  readonly predictedLatencyMs: number
  /** As a whole network, now; and at the speed that the machine had when the table was measured, `pace` times as fast. */
  readonly measuredLatencyMs: number
  readonly measuredAtPaceMs: number
  readonly pace: number
  /** Mean over the seeds of the derived architecture, and every one. */
  readonly validationAccuracy: number
  readonly derivedAccuracies: readonly number[]
  readonly gain: Gain
  readonly randomAccuracies: readonly number[]
  readonly randomLatenciesMs: readonly number[]
  /** Of the search, and of each training from scratch; fewer on a slow machine. */
  readonly searchSteps: number
  readonly scratchSteps: number
  readonly architecture: string
  readonly agentIdleShare: number
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Unbiased; NaN for one value alone. */
function variance(values: readonly number[]): number {
  const middle = mean(values)
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1)
}

/**
 * The difference of the means, of random architectures and of the seeds of the derived one. Its standard error is that of both means (Welch):
 * how random architectures differ has the chance of their trainings in it. NaN where there is one of either alone.
 */
function gainOver(random: readonly number[], derived: readonly number[]): Gain {
  const standardError = Math.sqrt(variance(random) / random.length + variance(derived) / derived.length)
  return { difference: mean(derived) - mean(random), standardError }
}

function renderGain({ difference, standardError }: Gain): string {
  const points = (share: number) => (100 * share).toFixed(2)
  const signed = `${difference < 0 ? '' : '+'}${points(difference)} points`
  if (!Number.isFinite(standardError)) return `${signed}; one training of either does not say how much of it is chance`
  const isMore = difference > 2 * standardError
  return `${signed}, standard error ${points(standardError)}: ${isMore ? 'more than chance' : 'no more than chance may be'}`
}

const percent = (share: number) => `${(share * 100).toFixed(2)} %`
const milliseconds = (ms: number) => `${ms.toFixed(3)} ms`

function renderReport(result: DemoResult, status: SearchStatus, space: Space, random: readonly Trained[], batch: number): string {
  const { current } = status
  const widest = Math.max(...space.decisions.map(({ name }) => name.length))
  const blocks = current.blocks.map(
    ({ block, operation, latencyMs }) => `  ${block.padEnd(widest)}  ${operation.padEnd(6)}  ${milliseconds(latencyMs)}`,
  )
  const row = (name: string, accuracy: number, latencyMs: number, note = '') =>
    `  ${name.padEnd(12)} ${percent(accuracy).padStart(9)} ${milliseconds(latencyMs).padStart(12)}  ${note}`
  return [
    '',
    `Derived architecture  ${result.architecture}`,
    ...blocks,
    '',
    `Latency for a batch of ${batch} on this machine`,
    `  at most      ${milliseconds(result.targetLatencyMs)}`,
    `  predicted    ${milliseconds(result.predictedLatencyMs)}  for the derived architecture, by the latency table`,
    `  measured     ${milliseconds(result.measuredAtPaceMs)}  for the same network as a whole, at the speed that the machine had then (${result.pace.toFixed(2)} times as long now)`,
    '',
    `Trained from scratch, ${result.scratchSteps} steps each (validation accuracy)`,
    `  ${'network'.padEnd(12)} ${'accuracy'.padStart(9)} ${'latency'.padStart(12)}`,
    ...random.map((trained, i) => row(`random ${i + 1}`, trained.accuracy, result.randomLatenciesMs[i] ?? 0, trained.architecture)),
    row('random, mean', mean(result.randomAccuracies), mean(result.randomLatenciesMs)),
    row('derived', result.validationAccuracy, result.predictedLatencyMs, `mean of ${result.derivedAccuracies.map(percent).join(', ')}`),
    `  ${'gain'.padEnd(12)} ${renderGain(result.gain)}`,
    '',
    `${result.seconds.toFixed(0)} s in all; agents spent ${percent(result.agentIdleShare)} of their time not training`,
  ].join('\n')
}

export { type DemoResult, type Gain, gainOver, mean, renderReport, type Trained }
