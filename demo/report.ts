// What the demo shows at its end, and the one JSON object of --json.

import type { SearchStatus } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'

type Trained = { readonly architecture: string; readonly accuracy: number }

type DemoResult = {
  readonly seconds: number
  readonly targetLatencyMs: number
  /** Over all probabilities, at the end of the search. */
  readonly expectedLatencyMs: number
  /** Sum of the latency table for the derived architecture. */
  readonly predictedLatencyMs: number
  readonly measuredLatencyMs: number
  readonly entropyStart: number
  readonly entropyEnd: number
  readonly validationAccuracy: number
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
    `  measured     ${milliseconds(result.measuredLatencyMs)}  for the same network as a whole`,
    '',
    `Entropy per block     ${result.entropyStart.toFixed(3)} → ${result.entropyEnd.toFixed(3)} nats`,
    '',
    'Trained from scratch, all for the same number of steps (mean validation accuracy)',
    `  ${'network'.padEnd(12)} ${'accuracy'.padStart(9)} ${'latency'.padStart(12)}`,
    row('derived', result.validationAccuracy, result.predictedLatencyMs),
    ...random.map((trained, i) => row(`random ${i + 1}`, trained.accuracy, result.randomLatenciesMs[i] ?? 0, trained.architecture)),
    row('random, mean', mean(result.randomAccuracies), mean(result.randomLatenciesMs)),
    row('largest', result.largestAccuracy, result.largestLatencyMs),
    '',
    `${result.seconds.toFixed(0)} s in all; agents spent ${percent(result.agentIdleShare)} of their time not training`,
  ].join('\n')
}

export { type DemoResult, renderReport, type Trained }
