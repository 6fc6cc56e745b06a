// One architecture step of ProxylessNAS in gradient form (Cai, Zhu and Han 2019, sections 3.2.1 and 3.3.1; the
// rescaling and the step counters are those of the authors' code).
//
// Agents return CE and dCE/dg_j for the sampled operations of each block. With prob = q, the softmax over the two sampled
// alphas (form "two"), or prob = p, the softmax over all (form "full"):
//
//   dL/dalpha_i = Σ_j dL/dg_j · prob_j · (δ_ij − prob_i)  +  dL/dE · prob_i · (F_i − Σ_j prob_j F_j)
//
// then one Adam step; in form "two" the pair is shifted by −ln(Σ e^new / Σ e^old), so that every other operation keeps its
// probability. A block whose active operation is Zero takes no update: neither alpha nor Adam's state.

import type { SpaceLatency } from '../latency-lut/table/coverage.ts'
import type { LatencyLoss } from '../protocol/index.ts'
import { type AdamSettings, adamStep, type AlphaState, type BlockState, isSound, withBlocks } from './adam.ts'
import { logSumExp, softmax } from './distribution.ts'
import { latencyGradient } from './latency-loss.ts'

/** What was sampled in one block and what came back; `gateGradients` is null where the block takes no update. */
type BlockSample = {
  /** Operations sampled, in the order of the gradients. */
  readonly operations: readonly number[]
  /** dCE/dg. */
  readonly gateGradients: readonly number[] | null
}

type AlphaUpdate = { readonly state: AlphaState; readonly expectedMs: number; readonly updatedBlocks: number }

/**
 * Latency expected over the sampled operations of each block, milliseconds.
 *
 * @param probabilities [block][position in `operations`]
 */
function sampledLatencyMs(latency: SpaceLatency, samples: readonly BlockSample[], probabilities: readonly (readonly number[])[]): number {
  return samples.reduce(
    (sum, sample, block) =>
      sum +
      sample.operations.reduce(
        (part, operation, j) => part + (probabilities[block]?.[j] ?? 0) * (latency.operationMs[block]?.[operation] ?? 0),
        0,
      ),
    latency.fixedMs,
  )
}

/**
 * Alpha after one architecture step.
 *
 * @param samples one per block; in form "full", all operations of the block in any order
 * @param crossEntropy of the active path
 */
function updateAlpha(
  state: AlphaState,
  samples: readonly BlockSample[],
  crossEntropy: number,
  settings: { form: 'two' | 'full'; adam: AdamSettings; loss: LatencyLoss; targetMs: number; latency: SpaceLatency },
): AlphaUpdate {
  const { form, adam, loss, targetMs, latency } = settings
  const probabilities = samples.map((sample, block) => softmax(sample.operations.map((operation) => state.alpha[block]?.[operation] ?? 0)))
  const sampledMs = sampledLatencyMs(latency, samples, probabilities)
  const everything = state.alpha.map((alpha) => ({ operations: alpha.map((_, operation) => operation), gateGradients: null }))
  const expectedMs = loss.kind === 'add#abs' ? sampledLatencyMs(latency, everything, state.alpha.map(softmax)) : sampledMs
  const { crossEntropyFactor, latencyFactor } = latencyGradient(loss, crossEntropy, expectedMs, targetMs)

  const changed = new Map<number, BlockState>()
  for (const [block, sample] of samples.entries()) {
    if (sample.gateGradients === null) continue
    const prob = probabilities[block] as number[]
    const milliseconds = sample.operations.map((operation) => latency.operationMs[block]?.[operation] ?? 0)
    const meanGate = prob.reduce((sum, p, j) => sum + p * (sample.gateGradients?.[j] ?? 0), 0)
    const meanMs = prob.reduce((sum, p, j) => sum + p * (milliseconds[j] as number), 0)
    const gradient = new Map(
      sample.operations.map((operation, i) => {
        const p = prob[i] as number
        // Σ_j G_j p_j (δ_ij − p_i) = p_i (G_i − Σ_j p_j G_j)
        const ofCrossEntropy = p * ((sample.gateGradients?.[i] as number) - meanGate)
        const ofLatency = p * ((milliseconds[i] as number) - meanMs)
        return [operation, crossEntropyFactor * ofCrossEntropy + latencyFactor * ofLatency]
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
