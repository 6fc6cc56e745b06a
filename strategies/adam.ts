// Adam (Kingma and Ba 2015) for the architecture parameters: each block has moments and a step counter of its own, since blocks
// are not all updated at every step. In float64.

import { MAX_ALPHA } from '../protocol/index.ts'

type AdamSettings = {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Added to the gradient, times alpha; default 0. */
  readonly decay?: number
}

/** Alpha and Adam's state, all [block][operation]; `steps` counts each block's own Adam steps. */
type AlphaState = {
  readonly alpha: readonly (readonly number[])[]
  readonly firstMoment: readonly (readonly number[])[]
  readonly secondMoment: readonly (readonly number[])[]
  readonly steps: readonly number[]
}

type BlockState = { alpha: number[]; firstMoment: number[]; secondMoment: number[]; steps: number }

/** One block after one step; operations that `gradient` lacks have gradient 0. */
function adamStep(state: AlphaState, block: number, gradient: ReadonlyMap<number, number>, adam: AdamSettings): BlockState {
  const steps = (state.steps[block] ?? 0) + 1
  const decayed = (state.alpha[block] ?? []).map((value, i) => (gradient.get(i) ?? 0) + (adam.decay ?? 0) * value)
  const firstMoment = (state.firstMoment[block] ?? []).map((m, i) => adam.beta1 * m + (1 - adam.beta1) * (decayed[i] ?? 0))
  const secondMoment = (state.secondMoment[block] ?? []).map((v, i) => adam.beta2 * v + (1 - adam.beta2) * (decayed[i] ?? 0) ** 2)
  const stepSize = adam.learningRate / (1 - adam.beta1 ** steps)
  const correction = Math.sqrt(1 - adam.beta2 ** steps)
  const alpha = (state.alpha[block] ?? []).map((value, i) => {
    const deviation = Math.sqrt(secondMoment[i] ?? 0) / correction + adam.epsilon
    return value - (stepSize * (firstMoment[i] ?? 0)) / deviation
  })
  return { alpha, firstMoment, secondMoment, steps }
}

/** Whether alpha is far from where probabilities cease to be numbers. A block that is not keeps what it has: its choice is made. */
function isSound({ alpha, firstMoment, secondMoment }: BlockState): boolean {
  return alpha.every((value) => Math.abs(value) <= MAX_ALPHA) && [...firstMoment, ...secondMoment].every(Number.isFinite)
}

/** The state with some of its blocks replaced. */
function withBlocks(state: AlphaState, blocks: ReadonlyMap<number, BlockState>): AlphaState {
  const pick = <K extends keyof BlockState>(name: K, rows: readonly BlockState[K][]) =>
    rows.map((row, block) => blocks.get(block)?.[name] ?? row)
  return {
    alpha: pick('alpha', state.alpha as number[][]),
    firstMoment: pick('firstMoment', state.firstMoment as number[][]),
    secondMoment: pick('secondMoment', state.secondMoment as number[][]),
    steps: pick('steps', state.steps as number[]),
  }
}

export { type AdamSettings, adamStep, type AlphaState, type BlockState, isSound, withBlocks }
