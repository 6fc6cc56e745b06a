// A policy of softmaxes that REINFORCE moves, a step of Adam at a time (Williams 1992): what `reinforce` and `eas` have in common.

import * as z from 'zod'
import type { Space } from '../search-space/index.ts'
import { type AdamSettings, adamStep, isSound, withBlocks } from './adam.ts'
import { entropy } from './distribution.ts'

const rows = z.array(z.array(z.number()))

/** Fields of a strategy's state. */
const policyShape = {
  /** Logits, [decision][option], and Adam's state of them. */
  alpha: rows,
  firstMoment: rows,
  secondMoment: rows,
  steps: z.array(z.int().min(0)),
}
type Policy = z.infer<z.ZodObject<typeof policyShape>>

/** Every option of a decision as likely as the others. */
function evenPolicy({ decisions }: Pick<Space, 'decisions'>): Policy {
  const zeros = () => decisions.map(({ options }) => options.map(() => 0))
  return { alpha: zeros(), firstMoment: zeros(), secondMoment: zeros(), steps: decisions.map(() => 0) }
}

/** d(−advantage · ln p(option) − weight · H)/dalpha of one softmax. */
function policyGradient(probabilities: readonly number[], option: number, advantage: number, entropyWeight: number): number[] {
  const h = entropy(probabilities)
  return probabilities.map((p, i) => {
    const pull = advantage * (p - (i === option ? 1 : 0))
    return pull + (p > 0 ? entropyWeight * p * (Math.log(p) + h) : 0)
  })
}

/** One step of Adam against a gradient, [decision][option]; decisions that it would leave without a finite number stay as they are. */
function stepPolicy(policy: Policy, gradient: readonly (readonly number[])[], settings: AdamSettings): Policy {
  const moved = gradient.map((row, decision) => adamStep(policy, decision, new Map(row.entries()), settings))
  const sound = new Map([...moved.entries()].filter(([, block]) => isSound(block)))
  const { alpha, firstMoment, secondMoment, steps } = withBlocks(policy, sound)
  const copy = (values: readonly (readonly number[])[]) => values.map((row) => [...row])
  return { alpha: copy(alpha), firstMoment: copy(firstMoment), secondMoment: copy(secondMoment), steps: [...steps] }
}

export { evenPolicy, policyGradient, policyShape, stepPolicy }
