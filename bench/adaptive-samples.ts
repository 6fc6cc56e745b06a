// npm run bench:adaptive-samples -- --json
//
// How many architectures FP-NAS evaluates where PARSEC takes a constant number of samples, on a space as large as FBNetV2-F's: its ten
// searched stages (Wan et al. 2020, table 1), each a decision on kernel, nonlinearity, squeeze-and-excitation, expansion and channels, 50
// decisions with 177 options in all. Nothing is trained: the loss of an architecture is a sum over its decisions, drawn from the seed, and
// the same strategies that searches run see it.

import { parseArgs } from 'node:util'
import { median } from '../latency-lut/table/robust.ts'
import { searchConfigSchema, type SearchConfigInput, type TaskResult } from '../protocol/index.ts'
import { createRandom, type Decision, seedState, type Space } from '../search-space/index.ts'
import { findStrategy, rowsOver, type StrategyContext } from '../strategies/index.ts'

/** Options of each stage: channels from 12 to 16 in steps of 4, and so on; the first stage has one expansion, the others six. */
const CHANNEL_OPTIONS = [2, 3, 3, 4, 4, 5, 5, 6, 10, 10]
const EXPANSIONS = 6
const KERNELS = 3
/** As many as FP-NAS begins with on this space, at its default of a quarter of a sample for each nat of entropy. */
const CONSTANT_SAMPLES = 14
const STEPS = 2000
/** Deviation of what an option adds to the loss. */
const DEVIATION = 0.02
const WORST_LOSS = 10
const IMAGES = 256
/** What the search has to find: this share of the way from the mean architecture to the best. */
const ENOUGH = 0.95

const decisionOf = (name: string, count: number): Decision => ({
  name,
  where: name,
  options: Array.from({ length: count }, (_, option) => ({ name: String(option), isZero: false })),
})

function unused(): never {
  throw new Error('nothing is trained here')
}

/** A space of decisions alone: what strategies see of it is how many options each has. */
const space: Space = {
  name: 'fbnet-v2-f',
  input: [1, 1, 1],
  classes: 2,
  decisions: CHANNEL_OPTIONS.flatMap((channels, stage) => [
    decisionOf(`stage${stage}.kernel`, KERNELS),
    decisionOf(`stage${stage}.nonlinearity`, 2),
    decisionOf(`stage${stage}.squeeze`, 2),
    decisionOf(`stage${stage}.expansion`, stage === 0 ? 1 : EXPANSIONS),
    decisionOf(`stage${stage}.channels`, channels),
  ]),
  terms: [],
  encoding: { print: (path) => path.join('.'), read: (text) => text.split('.').map(Number) },
  weightSpecs: [],
  network: unused,
  measurableOperations: unused,
}

type Found = {
  /** Architectures evaluated in all, and in the first step. */
  readonly samples: number
  readonly samplesAtStart: number
  /** Until the most probable architecture was good enough; null where it never was. */
  readonly samplesToEnough: number | null
  readonly stepsToEnough: number | null
  /** Share of the way from the mean architecture to the best that the most probable one has gone at the end. */
  readonly gone: number
}

function search(strategyInput: NonNullable<SearchConfigInput['strategy']>, seed: number): Found {
  const config = searchConfigSchema.parse({
    // Strategies see the space above; that of the settings is never opened.
    space: 'fashion-mini',
    dataset: { name: 'formula' },
    latency: { targetMs: 1e9, table: { name: 'none' }, loss: { kind: 'none' } },
    seed,
    strategy: strategyInput,
    training: { steps: STEPS },
    tasks: { weightSteps: 1, architectureSteps: 1 },
  } satisfies SearchConfigInput)
  const latency = { fixedMs: 1, operationMs: space.decisions.map(({ options }) => options.map(() => 0)) }
  const context: StrategyContext = { space, latency, config, rows: rowsOver(new Map()) }
  const random = createRandom(seedState('adaptive samples', seed))
  const worth = space.decisions.map(({ options }) => options.map(() => random.normal() * DEVIATION))
  const valueOf = (path: readonly number[]) => path.reduce((sum, option, decision) => sum + (worth[decision]?.[option] as number), 0)
  const best = worth.reduce((sum, row) => sum + Math.max(...row), 0)
  const mean = worth.reduce((sum, row) => sum + row.reduce((total, value) => total + value, 0) / row.length, 0)

  const strategy = findStrategy(config.strategy.name)
  let state = strategy.init(context)
  let [samples, samplesAtStart, steps] = [0, 0, 0]
  let [samplesToEnough, stepsToEnough]: (number | null)[] = [null, null]
  const gone = () => (valueOf(strategy.derive(state, context)) - mean) / (best - mean)
  for (;;) {
    const proposal = strategy.propose(state, context)
    if (proposal.kind !== 'work')
      return { samples, samplesAtStart, samplesToEnough: samplesToEnough ?? null, stepsToEnough: stepsToEnough ?? null, gone: gone() }
    const { work } = proposal
    let result: TaskResult
    if (work.kind === 'trainWeights') result = { kind: 'trainWeights', loss: 1, correct: 0, images: 1 }
    else if (work.kind === 'evaluatePaths') {
      const paths = work.paths.map((path) => ({ crossEntropy: WORST_LOSS - valueOf(path), correct: 0, images: IMAGES }))
      result = { kind: 'evaluatePaths', paths }
    } else throw new Error(`no answer to a task of kind ${work.kind}`)
    state = strategy.absorb(proposal.state, proposal, { kind: 'result', result }, context).state
    if (work.kind !== 'evaluatePaths' || !work.batches) continue
    samples += work.paths.length
    steps += 1
    if (steps === 1) samplesAtStart = samples
    if (samplesToEnough === null && gone() >= ENOUGH) [samplesToEnough, stepsToEnough] = [samples, steps]
  }
}

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, seeds: { type: 'string' }, temper: { type: 'string' }, rate: { type: 'string' } },
})
const seeds = Number(values.seeds ?? 20)
const common = {
  temper: Number(values.temper ?? 256),
  learningRate: Number(values.rate ?? 0.02),
  warmupSteps: 0,
  archEvery: 1,
  evaluateEvery: STEPS,
  images: IMAGES,
}
const strategies = {
  parsec: { name: 'parsec', samples: CONSTANT_SAMPLES, ...common },
  'fp-nas': { name: 'fp-nas', ...common },
} satisfies Record<string, SearchConfigInput['strategy']>

const rows = Object.entries(strategies).map(([name, input]) => {
  const found = Array.from({ length: seeds }, (_, i) => search(input, i + 1))
  const of = (pick: (one: Found) => number) => median(found.map(pick))
  return {
    strategy: name,
    samplesAtStart: of(({ samplesAtStart }) => samplesAtStart),
    samples: of(({ samples }) => samples),
    gone: of(({ gone }) => gone),
    reached: found.filter(({ samplesToEnough }) => samplesToEnough !== null).length,
    samplesToEnough: of(({ samplesToEnough }) => samplesToEnough ?? Number.POSITIVE_INFINITY),
    stepsToEnough: of(({ stepsToEnough }) => stepsToEnough ?? Number.POSITIVE_INFINITY),
  }
})

if (values.json === true) console.log(JSON.stringify({ seeds, decisions: space.decisions.length, steps: STEPS, ...common, rows }))
else {
  console.table(rows)
  const [constant, adaptive] = rows
  if (constant && adaptive) {
    const fewer = (pick: (row: (typeof rows)[number]) => number) => `${(100 * (1 - pick(adaptive) / pick(constant))).toFixed(0)} %`
    console.log(`fp-nas evaluates ${fewer(({ samples }) => samples)} fewer architectures in ${STEPS} steps`)
    console.log(`and ${fewer(({ samplesToEnough }) => samplesToEnough)} fewer until ${100 * ENOUGH} % of the way to the best are gone`)
  }
}
