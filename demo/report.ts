// What the demo shows at its end, and the one JSON object of --json.

import type { SearchStatus } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'

/** Accuracies of its trainings with several seeds, and their mean. */
type Trained = { readonly architecture: string; readonly accuracy: number; readonly accuracies: readonly number[] }

/** How much more accurate the derived architecture is than random ones of equal latency, and how much of that may be chance; shares of images. */
type Gain = { readonly difference: number; readonly standardError: number }

type DemoResult = {
  readonly seconds: number
  readonly targetLatencyMs: number
  /** Over all probabilities, at the end of the search. */
  readonly expectedLatencyMs: number
  /** Sum of the latency table for the derived architecture. */
  readonly predictedLatencyMs: number
  /** As a whole network, now; and at the speed that the machine had when the table was measured, `pace` times as fast. */
  readonly measuredLatencyMs: number
  readonly measuredAtPaceMs: number
  readonly pace: number
  readonly entropyStart: number
  readonly entropyEnd: number
  readonly validationAccuracy: number
  readonly gain: Gain
  readonly randomAccuracies: readonly number[]
  readonly randomLatenciesMs: readonly number[]
  readonly largestAccuracy: number
  readonly largestLatencyMs: number
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
 * The difference of the means. Its standard error is made of how random architectures differ from each other, which has the chance of their
 * trainings in it, and of the chance in the trainings of the derived one, by the seeds of all; NaN where there is one of either alone.
 */
function gainOver(random: readonly Trained[], derived: Trained): Gain {
  const ofRandom = variance(random.map(({ accuracy }) => accuracy)) / random.length
  const ofSeeds = mean([derived, ...random].map(({ accuracies }) => variance(accuracies))) / derived.accuracies.length
  return { difference: derived.accuracy - mean(random.map(({ accuracy }) => accuracy)), standardError: Math.sqrt(ofRandom + ofSeeds) }
}

function renderGain({ difference, standardError }: Gain): string {
  const points = (share: number) => (100 * share).toFixed(2)
  const signed = `${difference < 0 ? '' : '+'}${points(difference)} points`
  if (!Number.isFinite(standardError)) return `${signed}; one seed each does not say how much of it is chance`
  const isMore = difference > 2 * standardError
  return `${signed}, standard error ${points(standardError)}: ${isMore ? 'more than chance' : 'no more than chance may be'}`
}

const percent = (share: number) => `${(share * 100).toFixed(2)} %`
const milliseconds = (ms: number) => `${ms.toFixed(3)} ms`

function renderReport(result: DemoResult, status: SearchStatus, space: Space, random: readonly Trained[], batch: number): string {
  const { current } = status
  const widest = Math.max(...space.decisions.map(({ name }) => name.length))
  const blocks = current.blocks.map(
    ({ block, operation, probability = 0, latencyMs }) =>
      `  ${block.padEnd(widest)}  ${operation.padEnd(6)}  p ${probability.toFixed(3)}  ${milliseconds(latencyMs)}`,
  )
  const row = (name: string, accuracy: number, latencyMs: number, note = '') =>
    `  ${name.padEnd(12)} ${percent(accuracy).padStart(9)} ${milliseconds(latencyMs).padStart(12)}  ${note}`
  return [
    '',
    `Derived architecture  ${result.architecture}`,
    ...blocks,
    '',
    `Latency for a batch of ${batch} on this machine`,
    `  target       ${milliseconds(result.targetLatencyMs)}`,
    `  expected     ${milliseconds(result.expectedLatencyMs)}  over the probabilities at the end of the search`,
    `  predicted    ${milliseconds(result.predictedLatencyMs)}  for the derived architecture, sum of the latency table`,
    `  measured     ${milliseconds(result.measuredAtPaceMs)}  for the same network as a whole, at the speed that the machine had then (${result.pace.toFixed(2)} times as long now)`,
    '',
    `Entropy per block     ${result.entropyStart.toFixed(3)} → ${result.entropyEnd.toFixed(3)} nats`,
    '',
    'Trained from scratch, all for the same number of steps (mean validation accuracy)',
    `  ${'network'.padEnd(12)} ${'accuracy'.padStart(9)} ${'latency'.padStart(12)}`,
    row('derived', result.validationAccuracy, result.predictedLatencyMs),
    ...random.map((trained, i) => row(`random ${i + 1}`, trained.accuracy, result.randomLatenciesMs[i] ?? 0, trained.architecture)),
    row('random, mean', mean(result.randomAccuracies), mean(result.randomLatenciesMs)),
    `  ${'gain'.padEnd(12)} ${renderGain(result.gain)}`,
    row('largest', result.largestAccuracy, result.largestLatencyMs),
    '',
    `${result.seconds.toFixed(0)} s in all; agents spent ${percent(result.agentIdleShare)} of their time not training`,
  ].join('\n')
}

export { type DemoResult, type Gain, gainOver, mean, renderReport, type Trained }
