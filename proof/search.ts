// A search at a limit with the weights of a trained supernet: a strategy's own steps on architectures, one agent that answers at once. Steps
// on weights are answered without being done, since the weights are trained already.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Trainer } from '../engine/training/trainer.ts'
import { type SearchView, type StepWork, type TaskResult, weightStepsOf } from '../protocol/index.ts'
import { findStrategy, type StrategyContext } from '../strategies/index.ts'

type SearchEnd = {
  readonly view: SearchView
  /** The strategy's answer. */
  readonly derived: number[]
  /** Times that an image went through a network. */
  readonly images: number
}

/** Untrained: what the weights are is known from elsewhere. */
function withoutTraining(work: Extract<StepWork, { kind: 'trainWeights' }>, batchSize: number): TaskResult {
  return { kind: 'trainWeights', loss: 0, correct: 0, images: weightStepsOf(work) * batchSize }
}

function imagesOf(result: TaskResult): number {
  if (result.kind === 'gateGradients') return result.steps.reduce((sum, { images }) => sum + images, 0)
  return result.kind === 'evaluatePaths' ? result.paths.reduce((sum, { images }) => sum + images, 0) : 0
}

/** To its end. Throws the signal's reason between two tasks, and ProblemError where no architecture is within the limit. */
async function runSearch(trainer: Pick<Trainer, 'run'>, context: StrategyContext, interrupted: AbortSignal): Promise<SearchEnd> {
  const { config } = context
  const strategy = findStrategy(config.strategy.name)
  let state = strategy.init(context)
  let images = 0
  for (;;) {
    interrupted.throwIfAborted()
    const proposal = strategy.propose(state, context)
    if (proposal.kind === 'done') break
    if (proposal.kind === 'wait') throw new Error(`expected ${config.strategy.name} to have work for the only agent`)
    const { work } = proposal
    if (work.kind === 'trainArchitecture') throw new Error(`expected a strategy with shared weights, got ${config.strategy.name}`)
    const result =
      work.kind === 'trainWeights'
        ? withoutTraining(work, config.training.batchSize)
        : (await trainer.run<StepWork>(work, () => nextTurn())).result
    images += imagesOf(result)
    state = strategy.absorb(proposal.state, proposal, { kind: 'result', result }, context).state
  }
  return { view: strategy.describe(state, context).view, derived: strategy.derive(state, context), images }
}

export { runSearch }
