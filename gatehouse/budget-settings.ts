// Settings that suit the length of a search. The published ones are for days on many GPUs: with them a search of minutes ends with the
// probabilities that it began with. What a user has set stays.

import { isRecord, readField, setField } from '../command-line/fields.ts'
import { MAX_SMOOTHED_OPTIONS, type StrategyName, strategyFields, strategyNames } from '../protocol/index.ts'
import { createSpace, optionCounts, spaceRefSchema } from '../search-space/index.ts'

type Filled = readonly { readonly field: string; readonly value: unknown }[]

/** As in the schema. */
const DEFAULT_STEPS = 10_000
const DEFAULT_BATCH = 64
const WARMUP_SHARE = 0.3
/** Of the weights, at the start: twice the published one, which is for a hundred times as many steps. */
const WEIGHT_RATE = 0.1
const ARCH_EVERY = 3
/** Adam moves alpha by its rate at most, so this is how far it can come: enough to decide against gradients that waver. */
const ALPHA_REACH = 25
const ALPHA_RATES = { least: 0.002, most: 0.1 }
/** Of a search by hours, which may come to any number of steps. */
const ALPHA_RATE_BY_HOURS = 0.02
const LATENCY_MARGIN = 0.05
const EVALUATIONS = 10
/**
 * Architectures are evaluated with shared weights on at most this part of the images of the training, which a forward pass takes a third of
 * the time of: at the end of a search with a distribution, and in all of `spos`.
 */
const EVALUATED_SHARE = 0.2
const EVALUATED_IMAGES = { least: 200, most: 2000 }
const FINALISTS = 16
/** Of `spos`: random ones, many rather than on many images each (docs/strategies.md), then generations that a regression on options makes. */
const FIRST_GENERATION = { least: 16, most: 192 }
const PREDICTED = 16
const GENERATIONS = 3
const SMOOTHING = 0.9
const EVALUATE_EVERY = { least: 50, most: 1000 }

const clamp = (value: number, { least, most }: { least: number; most: number }) => Math.min(most, Math.max(least, value))
const isName = (name: unknown): name is StrategyName => strategyNames.some((known) => known === name)

/** Rate of Adam for alpha after which architecture steps of such a search have the reach; two digits of it. */
function alphaRate(steps: number, archEvery: number): number {
  const architectureSteps = (steps * (1 - WARMUP_SHARE)) / archEvery
  return Number(clamp(ALPHA_REACH / architectureSteps, ALPHA_RATES).toPrecision(2))
}

/** Whether a regression on the options of a space has not too many of them; also where there is no such space, which the schema refuses. */
function isSmooth(space: unknown): boolean {
  const ref = spaceRefSchema.safeParse(space)
  if (!ref.success) return true
  try {
    return optionCounts(createSpace(ref.data)).reduce((sum, count) => sum + count, 0) <= MAX_SMOOTHED_OPTIONS
  } catch {
    return true
  }
}

/**
 * Sets what is absent in `config`, in place, and answers what that was. Values that are no settings are left to the schema, which
 * refuses them.
 */
function fitToBudget(config: Record<string, unknown>): Filled {
  const filled: { field: string; value: unknown }[] = []
  const fill = (field: string, value: unknown) => {
    const parent = readField(config, field.slice(0, field.lastIndexOf('.')))
    if (readField(config, field) !== undefined || (parent !== undefined && !isRecord(parent))) return
    setField(config, field, value)
    filled.push({ field, value })
  }
  const number = (field: string, otherwise: number) => {
    const value = readField(config, field)
    return typeof value === 'number' && value > 0 ? value : otherwise
  }
  const name = readField(config, 'strategy.name') ?? 'proxyless-g'
  if (!isName(name)) return filled
  const fields = strategyFields(name)
  const byHours = readField(config, 'training.hours') !== undefined
  const steps = number('training.steps', DEFAULT_STEPS)
  const trained = steps * number('training.batchSize', DEFAULT_BATCH)
  if (fields.includes('archEvery')) {
    fill('strategy.name', name)
    if (readField(config, 'strategy.warmupSteps') === undefined) fill('strategy.warmupShare', WARMUP_SHARE)
    if (readField(config, 'strategy.entropy') === undefined) fill('strategy.entropy', {})
    if (readField(config, 'strategy.finalists') === undefined) {
      // Without random ones beside them: alpha decides which weights are trained, and those of what it does not sample say nothing.
      const images = Math.round(clamp((EVALUATED_SHARE * trained) / FINALISTS, EVALUATED_IMAGES))
      fill('strategy.finalists', byHours ? {} : { count: FINALISTS, images })
    }
    fill('training.learningRate', WEIGHT_RATE)
    if (!byHours) fill('strategy.evaluateEvery', Math.round(clamp(steps / EVALUATIONS, EVALUATE_EVERY)))
  }
  // Those that follow the gradient of the loss by alpha, latency in it.
  if (name === 'proxyless-g' || name === 'darts') {
    if (name === 'proxyless-g') fill('strategy.form', 'full')
    fill('strategy.archEvery', ARCH_EVERY)
    fill('strategy.learningRate', byHours ? ALPHA_RATE_BY_HOURS : alphaRate(steps, number('strategy.archEvery', ARCH_EVERY)))
    if (readField(config, 'latency.loss.kind') === undefined) fill('latency.loss.kind', 'add#abs')
    // Within the usual margin the pull grows weak enough to end a short search beside its target.
    if (readField(config, 'latency.loss.kind') === 'add#abs') fill('latency.loss.margin', LATENCY_MARGIN)
  }
  if (name === 'spos') {
    // A supernet of hours tells networks apart by how sure it is of images long before it does by how many it is right of, and what an
    // option adds on average long before what a single path does (docs/proof.md).
    fill('strategy.score', 'log-likelihood')
    const predicted = PREDICTED * (GENERATIONS - 1)
    const all = EVALUATED_SHARE * trained
    const first = Math.round(clamp(all / EVALUATED_IMAGES.least - predicted, FIRST_GENERATION))
    fill('strategy.firstGeneration', first)
    fill('strategy.population', PREDICTED)
    fill('strategy.generations', GENERATIONS)
    fill('strategy.images', Math.round(clamp(all / (first + predicted), EVALUATED_IMAGES)))
    if (isSmooth(config['space']) && readField(config, 'strategy.score') !== 'batch-norms') {
      fill('strategy.smoothing', SMOOTHING)
      fill('strategy.search', 'annealing')
      if (readField(config, 'strategy.search') === 'annealing') fill('strategy.annealing.products', false)
    }
  }
  return filled
}

export { type Filled, fitToBudget }
