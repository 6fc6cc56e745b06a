// The end of a search with a distribution: not the bare argmax of each decision, but the best of the k most probable architectures within
// all bounds, by their loss with shared weights on the same held-out images. The largest of nearly equal probabilities says little,
// and the most probable architecture may miss a bound that the distribution keeps in expectation.

import * as z from 'zod'
import { MAX_TASK_STEPS, type ResultOf, type TaskOutcome } from '../protocol/index.ts'
import { allBounds, mostProbableWithinBounds } from './bounds.ts'
import { batchesOf } from './evaluations.ts'
import type { Group } from './joint-distribution.ts'
import type { Assignment, StrategyContext } from './strategy.ts'

type FinalistSettings = { readonly count: number; readonly images: number }

const count = z.int().min(0)

const finalistsSchema = z.strictObject({
  /** Most probable first. */
  paths: z.array(z.array(count)),
  /** Handed out so far. */
  proposed: count,
  /** Of those that have come back, by index: cross-entropy, and accuracy from 0 to 1; null where nobody could evaluate it. */
  scores: z.array(z.strictObject({ index: count, found: z.strictObject({ loss: z.number(), accuracy: z.number() }).nullable() })),
})
type Finalists = z.infer<typeof finalistsSchema>

const privateSchema = z.strictObject({ finalistsFrom: count })

/** Index of the first finalist that an assignment evaluates; null where it is no evaluation of finalists. */
function finalistsFrom({ private: kept }: Assignment): number | null {
  const parsed = privateSchema.safeParse(kept)
  return parsed.success ? parsed.data.finalistsFrom : null
}

/** Nobody where the bounds leave no architecture that is probable at all. */
function chooseFinalists(groups: readonly Group[], context: StrategyContext, settings: FinalistSettings): Finalists {
  return { paths: mostProbableWithinBounds(allBounds(context), groups, settings.count), proposed: 0, scores: [] }
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
 * With their accuracies, the one of least loss first; of equals the more probable one. Finalists are alike, and by how many of some hundred
 * images more are right says less of them than how sure they are of all.
 */
function rankedFinalists({ paths, scores }: Finalists): { readonly path: number[]; readonly accuracy: number }[] {
  return scores
    .flatMap(({ index, found }) => (found ? [{ path: paths[index] as number[], ...found }] : []))
    .toSorted((a, b) => a.loss - b.loss)
}

export {
  absorbFinalists,
  chooseFinalists,
  type Finalists,
  type FinalistSettings,
  finalistsFrom,
  finalistsSchema,
  proposeFinalists,
  rankedFinalists,
}
