// The networks that bench:train-step and bench:memory measure, and the choices that each step runs.
// (a) a small net, one MBConv6 5×5 at 14×14 with 96 channels inside; (b) a supernet laid out as in the ProxylessNAS authors' code: stem 3×3
// of stride 2, a first MBConv1 3×3, the searched blocks, a feature mix layer 1×1 of 1280 channels (never narrowed), the
// classifier; (c) the preset `proxyless-mobile` at 96×96. Then a preset of every other family.

import { type Choice, createRandom, createSpace, seedState, type Space, type SpaceRef } from '../search-space/index.ts'

type StepName = 'weight' | 'two' | 'full'

type BenchCase = {
  readonly name: string
  readonly space: SpaceRef
  readonly batch: number
  /** Weight steps of (a) always run this operation; elsewhere they draw a path. */
  readonly fixedOperation?: string
  /** Steps that one round measures. */
  readonly stepsPerRound: number
}

const KERNELS = [3, 5, 7] as const
const small: SpaceRef = {
  name: 'small',
  input: [28, 28, 1],
  classes: 10,
  widthMult: 1,
  stem: { width: 16, stride: 2 },
  firstBlock: null,
  stages: [{ width: 16, cells: 1, stride: 1 }],
  kernels: [...KERNELS],
  expansions: [3, 6],
  zero: true,
  headWidth: null,
  batchNormEpsilon: 1e-3,
}
const supernet: SpaceRef = {
  name: 'supernet',
  input: [28, 28, 3],
  classes: 10,
  widthMult: 0.5,
  stem: { width: 32, stride: 2 },
  firstBlock: { width: 16, kernel: 3 },
  stages: [
    { width: 24, cells: 2, stride: 1 },
    { width: 40, cells: 2, stride: 2 },
    { width: 80, cells: 2, stride: 2 },
  ],
  kernels: [...KERNELS],
  expansions: [3, 6],
  zero: true,
  headWidth: 1280,
  batchNormEpsilon: 1e-3,
}

const benchCases: readonly BenchCase[] = [
  { name: 'a', space: small, batch: 64, fixedOperation: 'mb6k5', stepsPerRound: 40 },
  { name: 'b', space: supernet, batch: 64, stepsPerRound: 10 },
  { name: 'c', space: { preset: 'proxyless-mobile', input: [96, 96, 3] }, batch: 16, stepsPerRound: 4 },
  { name: 'cell', space: 'nas-bench-201', batch: 16, stepsPerRound: 2 },
  { name: 'fbnet-v2', space: 'fbnetv2-mini', batch: 64, stepsPerRound: 10 },
  { name: 'darts', space: 'darts', batch: 16, stepsPerRound: 2 },
  { name: 'aggregation', space: 'aggregation-mini', batch: 64, stepsPerRound: 4 },
  { name: 'pyramid-tree', space: 'tree-mini', batch: 64, stepsPerRound: 4 },
]

const DRAW_SEED = 7

/** `count` choices per block, drawn uniformly; the same on every run, and for both sides of a comparison. */
function drawChoices(benchCase: BenchCase, space: Space, step: StepName, count: number): Choice[][] {
  const random = createRandom(seedState('bench', DRAW_SEED, benchCase.name, step))
  const below = (limit: number) => Math.floor(random.uniform() * limit)
  return Array.from({ length: count }, () =>
    space.decisions.map(({ options }): Choice => {
      const fixed = options.findIndex(({ name }) => name === benchCase.fixedOperation)
      const active = fixed === -1 ? below(options.length) : fixed
      const others = options.map((_, index) => index).filter((index) => index !== active)
      if (step === 'weight') return active
      return { active, inactive: step === 'full' ? others : [others[below(others.length)] as number] }
    }),
  )
}

/** Those that a space has: where decisions have no gates, that of weights alone. */
function stepsOf({ gateRefusal }: Space): readonly StepName[] {
  return gateRefusal === undefined ? ['weight', 'two', 'full'] : ['weight']
}

function parameterCount(space: Space): number {
  return space.weightSpecs.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
}

function caseSpace({ space }: BenchCase): Space {
  return createSpace(space)
}

export { type BenchCase, benchCases, caseSpace, drawChoices, parameterCount, type StepName, stepsOf }
