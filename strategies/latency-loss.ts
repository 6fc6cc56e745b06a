// How the expected latency E of an architecture enters the loss, at the coordinator. With reference latency T:
//
//   none        L = CE
//   add#linear  L = CE + λ · (E − T)/T
//   mul#log     L = a · CE · (ln E / ln T)^b        ProxylessNAS's authors' code; their paper's equation 6 is the linear form
//   add#abs     L = CE + λ · |E/T − 1|              TuNAS (Bender et al. 2020), equation 3, on the expectation
//
// The last one pulls E to T from both sides. Its gradient is made proportional within `margin` of the target: a pull that
// only ever changes its sign would shake alpha once E has arrived, and drown the gradient of CE in Adam's second moment.
//
// dL/dalpha then is dL/dCE · dCE/dalpha + dL/dE · dE/dalpha.

import { latencyBounds } from '../latency-lut/table/coverage.ts'
import { type LatencyLoss, ProblemError } from '../protocol/index.ts'
import type { StrategyContext } from './strategy.ts'

/** ln E must stay positive in the `mul#log` loss. */
const MIN_LOG_LOSS_MS = 1

type LatencyGradient = {
  /** dL/dCE. */
  readonly crossEntropyFactor: number
  /** dL/dE, 1/ms. */
  readonly latencyFactor: number
}

/** To −1 … 1. */
function clamp(value: number): number {
  return Math.max(-1, Math.min(1, value))
}

/**
 * Gradient of the loss by its two terms.
 *
 * @param crossEntropy CE of the architecture step
 * @param expectedMs E; for `add#abs` of all operations, for the others of those sampled
 */
function latencyGradient(loss: LatencyLoss, crossEntropy: number, expectedMs: number, targetMs: number): LatencyGradient {
  switch (loss.kind) {
    case 'none':
      return { crossEntropyFactor: 1, latencyFactor: 0 }
    case 'add#linear':
      return { crossEntropyFactor: 1, latencyFactor: loss.lambda / targetMs }
    case 'mul#log': {
      const ratio = Math.log(expectedMs) / Math.log(targetMs)
      return {
        crossEntropyFactor: loss.a * ratio ** loss.b,
        latencyFactor: (loss.a * crossEntropy * loss.b * ratio ** (loss.b - 1)) / (expectedMs * Math.log(targetMs)),
      }
    }
    case 'add#abs':
      return { crossEntropyFactor: 1, latencyFactor: (loss.lambda * clamp((expectedMs / targetMs - 1) / loss.margin)) / targetMs }
    default:
      return loss satisfies never
  }
}

/** Throws ProblemError `invalid-request` where the loss has no value for some architectures. */
function checkLoss({ config, latency }: StrategyContext): void {
  if (config.latency.loss.kind !== 'mul#log') return
  const { leastMs: fastest } = latencyBounds(latency)
  if (fastest > MIN_LOG_LOSS_MS && config.latency.targetMs > MIN_LOG_LOSS_MS) return
  const path = config.latency.targetMs > MIN_LOG_LOSS_MS ? 'latency.loss' : 'latency.targetMs'
  const message =
    `the mul#log loss takes logarithms of milliseconds, so the target (${config.latency.targetMs} ms) and the fastest ` +
    `architecture (${fastest.toFixed(3)} ms) must be above ${MIN_LOG_LOSS_MS} ms; measure a larger batch, or use add#linear or add#abs`
  throw new ProblemError('invalid-request', message, [{ path, message }])
}

export { checkLoss, type LatencyGradient, latencyGradient }
