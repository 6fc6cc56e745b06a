// What a search shows of what it has found, by how its strategy looks for it. Every strategy shows one of these views; what all
// of them have in common (phase, progress, the best candidates, the constraint) is beside it in the status.

import * as z from 'zod'
import { costNameSchema } from './bounds.ts'

/** An architecture with what is known of it. */
const candidateSchema = z
  .object({
    encoding: z.string().describe('for example fashion-mini:mb3k5,zero,mb6k3'),
    path: z.array(z.int()).describe('operation index per block'),
    latencyMs: z.number().describe('sum over the latency table'),
    macs: z.int(),
    parameters: z.int(),
    score: z.number().nullable().describe('what the strategy compares candidates by, more is better; null before it is known'),
    parent: z.string().optional().describe('encoding of the candidate that it was made from'),
    epochs: z.number().optional().describe('that it has been trained for so far; left out: in full'),
    meetsConstraint: z.boolean().describe('whether it is within the target latency and all other bounds'),
  })
  .meta({ id: 'Candidate' })
type Candidate = z.infer<typeof candidateSchema>

const frontSchema = z
  .object({
    cost: costNameSchema,
    points: z
      .array(
        z.object({
          encoding: z.string(),
          path: z.array(z.int()),
          value: z.number().describe('of the cost'),
          score: z.number().describe('accuracy as it was measured, 0 to 1'),
        }),
      )
      .describe('by rising cost; at most 20, evenly spread'),
  })
  .meta({ id: 'Front', description: 'Of what was evaluated, the candidates that no other beats in accuracy and this cost.' })
type Front = z.infer<typeof frontSchema>

/** Fields that version 0.1.0 had beside the rest of the status; they are there still, and the same. */
const distributionFields = {
  alpha: z.array(z.array(z.number())).describe('[block][operation]'),
  alphaVersion: z.int(),
  probabilities: z.array(z.array(z.number())).describe('[block][operation]'),
  entropy: z.object({
    total: z.number().describe('nats, summed over blocks'),
    mean: z.number().describe('nats per block'),
    perBlock: z.array(z.number()),
    start: z.number().describe('mean per block at the start'),
  }),
  expectedLatencyMs: z.number(),
  weightSteps: z.object({ done: z.int(), total: z.int() }).describe('effective steps: what one agent alone would need for the same'),
  architectureSteps: z.object({
    done: z.int().describe('that alpha has taken'),
    dropped: z.int().optional().describe('whose results came too late to be used; left out where there are none'),
    skippedBlocks: z.int().describe('block updates left out because Zero was active'),
  }),
}

const distributionViewSchema = z
  .object({
    kind: z.literal('distribution'),
    ...distributionFields,
    effectiveSamples: z
      .number()
      .optional()
      .describe('how many samples the weights of the last step amount to; of strategies that weigh samples'),
    effectiveWeightSamples: z
      .number()
      .optional()
      .describe('the same of the paths of a weight step, on average over the last task, where a mini-batch has several'),
  })
  .meta({ id: 'DistributionView', description: 'Probabilities of the operations of each block.' })
type DistributionView = z.infer<typeof distributionViewSchema>

const scoreName = z.string().describe('what the scores are, for example "accuracy"')

const populationViewSchema = z
  .object({
    kind: z.literal('population'),
    score: scoreName,
    generation: z.int().min(0),
    candidates: z.array(candidateSchema).describe('those that are alive, best first'),
  })
  .meta({ id: 'PopulationView', description: 'Candidates that others are made from.' })

const policySchema = z
  .object({
    probabilities: z.array(z.array(z.number())).describe('[decision][option]'),
    entropy: z.number().describe('nats per decision'),
    startEntropy: z.number().describe('the same at the start'),
  })
  .meta({ id: 'PolicyFigures', description: 'What candidates are drawn from.' })

const predictionsSchema = z
  .object({
    fits: z.int().min(0),
    examples: z.int().min(0).describe('candidates that the last fit was on'),
    agreement: z
      .number()
      .nullable()
      .describe(
        'share of pairs, of the candidates proposed by the fit before the last, whose order it had foretold; null before there are any',
      ),
  })
  .meta({ id: 'PredictionFigures', description: 'How well a predictor has foretold the order of what it proposed.' })

const rungSchema = z
  .object({
    epochs: z.number().describe('that candidates have been trained for here'),
    scored: z.int().min(0),
    failed: z.int().min(0).describe('diverged or given up'),
    promoted: z.int().min(0).describe('of the scored, those that went on'),
    bestScore: z.number().nullable(),
  })
  .meta({ id: 'Rung', description: 'Candidates that have been trained for as many epochs.' })

/** Beside candidates by their scores, what some strategies know. */
const rankingViewSchema = z
  .object({
    kind: z.literal('ranking'),
    score: scoreName,
    scored: z.int().min(0).describe('candidates that have a score'),
    candidates: z.array(candidateSchema).describe('the best of them, best first; those trained for more epochs before the others'),
    policy: policySchema.optional(),
    predictions: predictionsSchema.optional(),
    rungs: z.array(rungSchema).optional().describe('by epochs, the fewest first'),
  })
  .meta({ id: 'RankingView', description: 'Candidates by their scores.' })

const views = [distributionViewSchema, populationViewSchema, rankingViewSchema] as const
const searchViewSchema = z.discriminatedUnion('kind', views)
type SearchView = z.infer<typeof searchViewSchema>
type RankingView = z.infer<typeof rankingViewSchema>

/** Views of a newer version are let through, so that who reads a status can show the rest of it. */
const anyViewSchema = z.union([
  searchViewSchema,
  z.looseObject({
    kind: z.string().refine((kind) => !views.some(({ shape }) => shape.kind.value === kind), { message: 'expected a view of its kind' }),
  }),
])
type AnyView = z.infer<typeof anyViewSchema>

/** The view, or null where it is of a kind that this version does not know. */
function knownView(view: AnyView): SearchView | null {
  return searchViewSchema.safeParse(view).data ?? null
}

/** What a search has found that has a distribution; throws where it has none. */
function distributionOf({ view }: { readonly view: AnyView }): DistributionView {
  const known = knownView(view)
  if (known?.kind === 'distribution') return known
  throw new Error(`expected a search with a distribution over the operations of each block, and it shows a ${view.kind}`)
}

export {
  anyViewSchema,
  type Candidate,
  candidateSchema,
  distributionFields,
  distributionOf,
  type DistributionView,
  type Front,
  frontSchema,
  knownView,
  type RankingView,
  type SearchView,
}
