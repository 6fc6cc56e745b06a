// The trainings that bench:train-threads measures, and what passes between it and its processes.

import type { SpaceRef } from '../search-space/index.ts'

type ThreadsCase = {
  /** A space, and the images of a mini-batch. */
  readonly name: string
  readonly space: SpaceRef
  /** In all blocks. */
  readonly operation: string
  readonly batch: number
  /** Steps that one round measures: few, so that all numbers of threads see the same moments of a shared machine. */
  readonly stepsPerRound: number
}

const threadsCases: readonly ThreadsCase[] = [
  { name: 'fashion-mini-64', space: 'fashion-mini', operation: 'mb6k5', batch: 64, stepsPerRound: 4 },
  { name: 'fashion-mini-128', space: 'fashion-mini', operation: 'mb6k5', batch: 128, stepsPerRound: 2 },
  {
    name: 'proxyless-mobile-32',
    space: { preset: 'proxyless-mobile', input: [96, 96, 3] },
    operation: 'mb6k5',
    batch: 32,
    stepsPerRound: 1,
  },
]

type ThreadsRequest =
  | { readonly kind: 'open'; readonly caseName: string; readonly threads: number }
  | { readonly kind: 'run'; readonly steps: number }

type ThreadsAnswer =
  | { readonly kind: 'opened'; readonly description: string; readonly parameters: number }
  | { readonly kind: 'ran'; readonly ms: number; /** Of all threads together. */ readonly cpuMs: number }

export { type ThreadsAnswer, type ThreadsCase, threadsCases, type ThreadsRequest }
