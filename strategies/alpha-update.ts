// One architecture step of ProxylessNAS in gradient form (Cai, Zhu and Han 2019, sections 3.2.1 and 3.3.1; the
// rescaling and the step counters are those of the authors' code).
//
// Agents return CE and dCE/dg_j for the sampled operations of each block. With prob = q, the softmax over the two sampled
// alphas (form "two"), or prob = p, the softmax over all (form "full"):
//
//   dL/dalpha_i = Σ_j dL/dg_j · prob_j · (δ_ij − prob_i)  +  dL/dE · prob_i · (F_i − Σ_j prob_j F_j)
//
// where F_i is dE/dprob_i: the latency of operation i, and where latency depends on several blocks at once, that expected over the
// other blocks. Each further bound adds a term of the same form with its cost for F and the slope of its penalty (bounds.ts) for dL/dE.
//
// with, where entropy has a schedule (entropy-schedule.ts), its gradient added; then one Adam step; in form "two" the pair is shifted by −ln(Σ e^new / Σ e^old), so that every other operation keeps its
// probability. A block whose active operation is Zero takes no update: neither alpha nor Adam's state.

import { expectedLatencyMs, expectedLatencySlopes, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import type { LatencyLoss } from '../protocol/index.ts'
import { expectedCost, expectedCostSlopes } from '../search-space/index.ts'
import { type AdamSettings, adamStep, type AlphaState, type BlockState, isSound, withBlocks } from './adam.ts'
import { type Penalty, penaltySlope } from './bounds.ts'
import { logSumExp, softmax } from './distribution.ts'
import { entropyGradient } from './entropy-schedule.ts'
import { latencyGradient } from './latency-loss.ts'

/** What was sampled in one block and what came back; `gateGradients` is null where the block takes no update. */
type BlockSample = {
  /** Operations sampled, in the order of the gradients. */
  readonly operations: readonly number[]
  /** dCE/dg. */
  readonly gateGradients: readonly number[] | null
}

type AlphaUpdate = { readonly state: AlphaState; readonly expectedMs: number; readonly updatedBlocks: number }

/** Probabilities of some operations as those of all, the others 0. */
function spread(operations: readonly number[], probabilities: readonly number[], count: number): number[] {
  const row = Array.from({ length: count }, () => 0)
  for (const [j, operation] of operations.entries()) row[operation] = probabilities[j] ?? 0
  return row
}

/**
 * Alpha after one architecture step.
 *
 * @param samples one per block; in form "full", all operations of the block in any order
 * @param crossEntropy of the active path
 * @param settings.entropyPull dL/dH of each block's entropy H
 */
function updateAlpha(
  state: AlphaState,
  samples: readonly BlockSample[],
  crossEntropy: number,
  settings: {
    form: 'two' | 'full'
    adam: AdamSettings
    loss: LatencyLoss
    targetMs: number
    latency: SpaceLatency
    entropyPull?: number
    penalties?: readonly Penalty[]
  },
): AlphaUpdate {
  const { form, adam, loss, targetMs, latency, entropyPull = 0, penalties = [] } = settings
  const probabilities = samples.map((sample, block) => softmax(sample.operations.map((operation) => state.alpha[block]?.[operation] ?? 0)))
  const sampled = samples.map(({ operations }, block) => spread(operations, probabilities[block] ?? [], state.alpha[block]?.length ?? 0))
  const sampledMs = expectedLatencyMs(latency, sampled)
  const expectedMs = loss.kind === 'add#abs' ? expectedLatencyMs(latency, state.alpha.map(softmax)) : sampledMs
  const slopes = expectedLatencySlopes(latency, sampled)
  const { crossEntropyFactor, latencyFactor } = latencyGradient(loss, crossEntropy, expectedMs, targetMs)

  const pulls = [
    { factor: latencyFactor, slopes },
    ...penalties.map(({ terms, ...bound }) => ({
      factor: penaltySlope(bound, expectedCost(terms, state.alpha.map(softmax))),
      slopes: expectedCostSlopes(terms, sampled),
    })),
  ]

  const changed = new Map<number, BlockState>()
  for (const [block, sample] of samples.entries()) {
    if (sample.gateGradients === null) continue
    const prob = probabilities[block] as number[]
    const meanGate = prob.reduce((sum, p, j) => sum + p * (sample.gateGradients?.[j] ?? 0), 0)
    const ofEntropy = entropyPull > 0 ? entropyGradient(softmax(state.alpha[block] ?? [])) : []
    const costs = pulls.map(({ factor, slopes: all }) => {
      const own = sample.operations.map((operation) => all[block]?.[operation] ?? 0)
      return { factor, own, mean: prob.reduce((sum, p, j) => sum + p * (own[j] as number), 0) }
    })
    const gradient = new Map(
      sample.operations.map((operation, i) => {
        const p = prob[i] as number
        // Σ_j G_j p_j (δ_ij − p_i) = p_i (G_i − Σ_j p_j G_j)
        const ofCrossEntropy = p * ((sample.gateGradients?.[i] as number) - meanGate)
        const ofCosts = costs.reduce((sum, { factor, own, mean }) => sum + factor * (p * ((own[i] as number) - mean)), 0)
        return [operation, crossEntropyFactor * ofCrossEntropy + ofCosts + entropyPull * (ofEntropy[operation] ?? 0)]
      }),
    )
    const updated = adamStep(state, block, gradient, adam)
    if (form === 'two') {
      const before = logSumExp(sample.operations.map((operation) => state.alpha[block]?.[operation] ?? 0))
      const after = logSumExp(sample.operations.map((operation) => updated.alpha[operation] as number))
      for (const operation of sample.operations) updated.alpha[operation] = (updated.alpha[operation] as number) - (after - before)
    }
    if (isSound(updated)) changed.set(block, updated)
  }
  return { state: withBlocks(state, changed), expectedMs: sampledMs, updatedBlocks: changed.size }
}

export { type AlphaUpdate, type BlockSample, updateAlpha }
