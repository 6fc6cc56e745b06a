// DARTS (Liu, Simonyan and Yang 2019, arXiv 1806.09055): every mini-batch runs all operations of a block, mixed by the softmax of alpha,
//
//   y = Σ_j p_j o_j(x),   p = softmax(alpha)
//
// and an architecture step follows the gradient of alpha on held-out images, of the first order with the weights as they are, of the
// second through the weight step that comes next (engine/executor/unrolled.ts). Agents return dCE/dp; alpha takes the same step as in
// form "full" of ProxylessNAS (alpha-update.ts), with the expected latency in it, but that Zero is an operation like any other: it is in
// the mixture, with a gradient of 0. Adam's decay of the first moment and the weight decay of alpha are those of the authors' code.

import { invalidField, MAX_TASK_GATES, type ResultOf } from '../protocol/index.ts'
import { penaltiesOf } from './bounds.ts'
import { softmax } from './distribution.ts'
import { followGradients } from './gradient-steps.ts'
import { checkLoss } from './latency-loss.ts'
import { fillWithMixtures } from './seat-steps.ts'
import { settingsOf } from './settings.ts'
import { requireSideBySide } from './side-by-side.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createSupernetSearch, positionNow, type SupernetState, supernetStateSchema } from './supernet-search.ts'

type State = SupernetState

const settings = (context: StrategyContext) => settingsOf(context, 'darts')

const mixtureOf = ({ alpha }: State) => alpha.map(softmax)

/** A task's gradients are one row of the log. */
function checkGradients({ space, config }: StrategyContext): void {
  const operations = space.decisions.reduce((sum, { options }) => sum + options.length, 0)
  const most = Math.floor(MAX_TASK_GATES / operations)
  const wanted = config.tasks.architectureSteps
  if (wanted > most) {
    throw invalidField('tasks.architectureSteps', `expected at most ${most} for a space with ${operations} operations, got ${wanted}`)
  }
}

/** See strategy.ts and supernet-search.ts. */
const darts: Strategy<State> = createSupernetSearch<State>({
  stateSchema: supernetStateSchema,
  settings,
  start(base, context) {
    requireSideBySide(context)
    checkGradients(context)
    checkLoss(context)
    penaltiesOf(context)
    return base
  },
  stepsOfTask: (_, { config }) => config.tasks.architectureSteps,
  weights: (state) => ({ isWhole: true, fill: fillWithMixtures({ mixture: mixtureOf(state) }) }),
  propose: (state, context, { firstStep, steps }) => ({
    work: {
      kind: 'mixtureGradients',
      firstStep,
      steps,
      mixture: mixtureOf(state),
      ...(settings(context).order === 'second' && {
        unrolled: { firstBatch: state.batchesProposed ?? 0, position: positionNow(state, context) },
      }),
      alphaVersion: state.alphaVersion,
    },
  }),
  absorb(state, { work: any }, anyResult, context) {
    const work = any as Extract<typeof any, { kind: 'mixtureGradients' }>
    const { steps } = anyResult as ResultOf<'mixtureGradients'>
    const { learningRate, beta1, beta2, epsilon, alphaDecay, maxStaleness } = settings(context)
    if (state.alphaVersion - work.alphaVersion > maxStaleness) return { kind: 'stale' }
    const answers = steps.map(({ gradients, ...answer }) => {
      const samples = gradients.map((row) => {
        return { operations: row.map((_, operation) => operation), gateGradients: row.length > 1 ? row : null }
      })
      return { ...answer, samples }
    })
    const adam = { learningRate, beta1, beta2, epsilon, decay: alphaDecay }
    const { skipped: _, ...followed } = followGradients(state, answers, { form: 'full', adam, settings: settings(context) }, context)
    return { kind: 'applied', ...followed }
  },
  stepsOf: (work) => (work.kind === 'mixtureGradients' ? work.steps : null),
})

export { darts }
