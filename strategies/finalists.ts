// The end of a search with a distribution: not the bare argmax of each decision, but the best of the k most probable architectures within
// all bounds, by their loss with shared weights on the same held-out images. The largest of nearly equal probabilities says little,
// and the most probable architecture may miss a bound that the distribution keeps in expectation.
//
// A distribution follows what single paths happen to do with shared weights, and finalists that it alone has chosen are all of one kind. With
// `sampled`, architectures that are drawn at random within the bounds are evaluated beside them. A regression on the options of all (smoothing.ts)
// then says which others might be better: as many as finalists are evaluated in a second round.

import * as z from 'zod'
import { annealingSchema, MAX_TASK_STEPS, type ResultOf, type TaskOutcome } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { predictBest } from './annealing.ts'
import { allBounds, mostProbableWithinBounds } from './bounds.ts'
import { batchesOf } from './evaluations.ts'
import { boundedBy, collectOthers, randomWithin } from './evolution.ts'
import type { Group } from './joint-distribution.ts'
import { checkSmoothing, fitOptions, smoothScores } from './smoothing.ts'
import type { Assignment, StrategyContext } from './strategy.ts'

type FinalistSettings = {
  readonly count: number
  readonly images: number
  /** Drawn at random; default: 0, and no second round. */
  readonly sampled?: number | undefined
  /** Part of a loss that the regression says, when they are compared; default: 0. */
  readonly smoothing?: number | undefined
}

const FIELD = 'strategy.finalists'

const count = z.int().min(0)

const finalistsSchema = z.strictObject({
  /** Most probable first, then those that were drawn, then those of the second round. */
  paths: z.array(z.array(count)),
  /** Handed out so far. */
  proposed: count,
  /** Of those that have come back, by index: cross-entropy, and accuracy from 0 to 1; null where nobody could evaluate it. */
  scores: z.array(z.strictObject({ index: count, found: z.strictObject({ loss: z.number(), accuracy: z.number() }).nullable() })),
  /** Whether the second round is among them; absent: there is none, or not yet. */
  predicted: z.literal(true).optional(),
})
type Finalists = z.infer<typeof finalistsSchema>

const privateSchema = z.strictObject({ finalistsFrom: count })

/** Index of the first finalist that an assignment evaluates; null where it is no evaluation of finalists. */
function finalistsFrom({ private: kept }: Assignment): number | null {
  const parsed = privateSchema.safeParse(kept)
  return parsed.success ? parsed.data.finalistsFrom : null
}

/** None in a space whose derivation leaves options out: what is drawn there is nothing that could be derived. */
const sampledIn = ({ space }: StrategyContext, { sampled = 0 }: FinalistSettings) => (space.derivable ? 0 : sampled)

/** Throws ProblemError `invalid-request` for a regression in a space that has too many options for one. */
function checkFinalists({ space }: StrategyContext, { sampled = 0, smoothing = 0 }: FinalistSettings): void {
  checkSmoothing(space, sampled, `${FIELD}.sampled`)
  checkSmoothing(space, smoothing, `${FIELD}.smoothing`)
}

/** Different architectures that are within all bounds and none of `others`; fewer where not so many are found. */
function drawOthers(others: readonly (readonly number[])[], wanted: number, context: StrategyContext, random: Random): number[][] {
  const bounded = boundedBy(context)
  const { made, add } = collectOthers(bounded, others)
  while (made.length < wanted && add(() => randomWithin(bounded, random)));
  return made
}

/** Nobody where the bounds leave no architecture that is probable at all. */
function chooseFinalists(groups: readonly Group[], context: StrategyContext, settings: FinalistSettings, random: Random): Finalists {
  const probable = mostProbableWithinBounds(allBounds(context), groups, settings.count)
  return { paths: [...probable, ...drawOthers(probable, sampledIn(context, settings), context, random)], proposed: 0, scores: [] }
}

/** Path, loss and accuracy of those that could be evaluated. */
function evaluatedOf({ paths, scores }: Finalists) {
  return scores.flatMap(({ index, found }) => (found ? [{ path: paths[index] as number[], score: -found.loss, ...found }] : []))
}

/** Whether there is a second round to come, for which all of the first must have come back. */
function awaitsSecondRound({ paths, predicted }: Finalists, context: StrategyContext, settings: FinalistSettings): boolean {
  return sampledIn(context, settings) > 0 && paths.length > 0 && !predicted
}

/** With the second round: architectures within all bounds that the regression says are best, and that have not been evaluated. */
function withSecondRound(finalists: Finalists, context: StrategyContext, settings: FinalistSettings, random: Random): Finalists {
  const examples = evaluatedOf(finalists)
  if (examples.length === 0) return { ...finalists, predicted: true }
  const fitted = fitOptions(examples, context.space)
  const predicted = predictBest(boundedBy(context), fitted, annealingSchema.parse({}), random, finalists.paths).slice(0, settings.count)
  return { ...finalists, paths: [...finalists.paths, ...predicted], predicted: true }
}

/** The next evaluation for one of `agents` that share them; null where all are handed out. */
function proposeFinalists(
  finalists: Finalists,
  context: StrategyContext,
  { images }: FinalistSettings,
  agents: number,
): (Assignment & { readonly finalists: Finalists }) | null {
  const { paths, proposed } = finalists
  if (proposed >= paths.length) return null
  const batches = Math.min(MAX_TASK_STEPS, batchesOf(context, images))
  const most = Math.max(1, Math.min(Math.floor(MAX_TASK_STEPS / batches), Math.ceil(paths.length / agents)))
  const given = paths.slice(proposed, proposed + most)
  return {
    work: { kind: 'evaluatePaths', paths: given, batches: { first: 0, count: batches } },
    private: { finalistsFrom: proposed } satisfies z.infer<typeof privateSchema>,
    finalists: { ...finalists, proposed: proposed + given.length },
  }
}

/** After the evaluation of those from `from` on, whose work this was. */
function absorbFinalists(finalists: Finalists, from: number, { work }: Assignment, outcome: TaskOutcome): Finalists {
  const { paths } = work as Extract<typeof work, { kind: 'evaluatePaths' }>
  const answers = outcome.kind === 'failure' ? [] : (outcome.result as ResultOf<'evaluatePaths'>).paths
  const own = paths.map((_, i) => {
    const answer = answers[i]
    return { index: from + i, found: answer ? { loss: answer.crossEntropy, accuracy: answer.correct / answer.images } : null }
  })
  return { ...finalists, scores: [...finalists.scores, ...own].toSorted((a, b) => a.index - b.index) }
}

/**
 * With their accuracies, the one of least loss first, smoothed where that is asked for; of equals the more probable one. Finalists are alike,
 * and by how many of some hundred images more are right says less of them than how sure they are of all.
 */
function rankedFinalists(
  finalists: Finalists,
  { space }: Pick<StrategyContext, 'space'>,
  smoothing = 0,
): { readonly path: number[]; readonly accuracy: number }[] {
  const evaluated = evaluatedOf(finalists)
  const scores = smoothScores(evaluated, space, smoothing)
  return evaluated
    .map(({ path, accuracy }, i) => ({ path, accuracy, score: scores[i] as number }))
    .toSorted((a, b) => b.score - a.score)
    .map(({ path, accuracy }) => ({ path, accuracy }))
}

export {
  absorbFinalists,
  awaitsSecondRound,
  checkFinalists,
  chooseFinalists,
  type Finalists,
  type FinalistSettings,
  finalistsFrom,
  finalistsSchema,
  proposeFinalists,
  rankedFinalists,
  withSecondRound,
}
