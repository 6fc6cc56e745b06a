// What strategies have in common whose agents return gradients of the loss by what alpha decides: by gates (proxyless-g) or by the factors of
// mixtures (darts). A task has several steps, and alpha takes them one after the other.

import type { AdamSettings, AlphaState } from './adam.ts'
import { type BlockSample, updateAlpha } from './alpha-update.ts'
import { penaltiesOf } from './bounds.ts'
import type { StrategyContext } from './strategy.ts'
import { entropyPullOf, type SupernetSettings, type SupernetState } from './supernet-search.ts'

/** What came back of one step. */
type GradientStep = {
  readonly crossEntropy: number
  readonly correct: number
  readonly images: number
  /** One per decision. */
  readonly samples: readonly BlockSample[]
}

type Followed<State> = {
  readonly state: State
  /** Mean cross-entropy of the steps. */
  readonly loss: number
  readonly correct: number
  readonly images: number
  /** Decisions that took no update because their active operation gives no gradient (Zero), of all steps together. */
  readonly skipped: number
}

/** Alpha after all steps, with the latency of the settings' loss in each, their bounds, and the schedule of entropy. */
function followGradients<State extends SupernetState>(
  state: State,
  steps: readonly GradientStep[],
  { form, adam, settings }: { readonly form: 'two' | 'full'; readonly adam: AdamSettings; readonly settings: SupernetSettings },
  context: StrategyContext,
): Followed<State> {
  const { loss, targetMs } = context.config.latency
  const update = { form, adam, loss, targetMs, latency: context.latency, penalties: penaltiesOf(context) }
  let alpha: AlphaState = state
  const sum = { loss: 0, correct: 0, images: 0, skipped: 0 }
  for (const { crossEntropy, correct, images, samples } of steps) {
    const entropyPull = entropyPullOf({ ...state, ...(alpha as Pick<State, keyof AlphaState>) }, context, settings)
    const updated = updateAlpha(alpha, samples, crossEntropy, { ...update, entropyPull })
    alpha = updated.state
    sum.loss += crossEntropy / steps.length
    sum.correct += correct
    sum.images += images
    sum.skipped += samples.filter(({ operations, gateGradients }) => operations.length > 1 && gateGradients === null).length
  }
  return { state: { ...state, ...alpha }, ...sum }
}

export { followGradients, type GradientStep }
