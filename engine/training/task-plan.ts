// In which order the steps of a task are done, and which of them side by side. A step is one mini-batch, numbered within its
// task: path of `paths`, gates of `steps`, or path · mini-batches + mini-batch of an evaluation.
//
//   trainWeights    a wave holds one turn of `mergeEvery` steps for each lane; then what they have learnt is merged
//   gateGradients   a turn is one step, since weights are frozen and steps of one task follow from nothing but them
//   evaluatePaths   a turn is some mini-batches in a row
//
// Turn t of a wave belongs to thread t mod n. Nothing that a task computes depends on n.

import type { ResultOf, TaskWork } from '../../protocol/index.ts'
import type { Choice } from '../../search-space/index.ts'

/** Mini-batches of an evaluation between two looks at the network. */
const EVALUATED_PER_TURN = 4

/** What one thread does without a word from the others: steps of one lane, in their order. */
type Turn = readonly number[]

type Wave = {
  readonly turns: readonly Turn[]
  /** Steps that follow, this wave's included; with lanes, those of each lane. */
  readonly stepsLeft: number
}

/** What a step gave. */
type StepOutcome = {
  readonly loss: number
  readonly correct: number
  /** [block][0 = active, then inactive]; of `gateGradients` only. */
  readonly gateGradients?: (number[] | null)[]
}

const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i)

/** Where a step of `trainWeights` is: in which lane, and the how manieth it is there. */
function placeInLane({ lanes }: Extract<TaskWork, { kind: 'trainWeights' }>, step: number): { lane: number; localStep: number } {
  const count = lanes?.count ?? 1
  return { lane: step % count, localStep: Math.floor(step / count) }
}

function planTraining(work: Extract<TaskWork, { kind: 'trainWeights' }>): Wave[] {
  const { count, mergeEvery } = work.lanes ?? { count: 1, mergeEvery: 1 }
  const localSteps = Math.ceil(work.paths.length / count)
  return Array.from({ length: Math.ceil(localSteps / mergeEvery) }, (_, wave) => {
    const from = wave * mergeEvery
    const steps = range(from, Math.min(localSteps, from + mergeEvery))
    const turnOf = (lane: number) => steps.map((local) => local * count + lane).filter((step) => step < work.paths.length)
    return {
      turns: range(0, count)
        .map(turnOf)
        .filter((turn) => turn.length > 0),
      stepsLeft: localSteps - from,
    }
  })
}

function planFrozen(steps: number, perTurn: number, threads: number): Wave[] {
  const perWave = perTurn * threads
  return Array.from({ length: Math.ceil(steps / perWave) }, (_, wave) => {
    const from = wave * perWave
    const turns = range(0, threads).map((thread) => range(from + thread * perTurn, Math.min(steps, from + (thread + 1) * perTurn)))
    return { turns: turns.filter((turn) => turn.length > 0), stepsLeft: steps - from }
  })
}

/** @param batchesPerPath mini-batches of each path of an evaluation */
function planWaves(work: TaskWork, threads: number, batchesPerPath: number): Wave[] {
  switch (work.kind) {
    case 'trainWeights':
      return planTraining(work)
    case 'gateGradients':
      return planFrozen(work.steps.length, 1, threads)
    case 'evaluatePaths': {
      const steps = work.paths.length * batchesPerPath
      return planFrozen(steps, Math.min(EVALUATED_PER_TURN, Math.ceil(steps / threads)), threads)
    }
    default:
      return work satisfies never
  }
}

/** The turns of one thread in a wave, with their numbers in it. */
function turnsOf({ turns }: Wave, thread: number, threads: number): { lane: number; steps: Turn }[] {
  return turns.map((steps, lane) => ({ lane, steps })).filter(({ lane }) => lane % threads === thread)
}

/** What runs in each block at a step. */
function choicesOf(work: TaskWork, step: number, batchesPerPath: number): readonly Choice[] {
  const choices = work.kind === 'gateGradients' ? work.steps : work.paths
  return choices[work.kind === 'evaluatePaths' ? Math.floor(step / batchesPerPath) : step] as readonly Choice[]
}

/** The result of a task from what each of its steps gave. */
function resultOf(work: TaskWork, outcomes: readonly StepOutcome[], batchSize: number, batchesPerPath: number): ResultOf<TaskWork['kind']> {
  const sumUp = (steps: readonly StepOutcome[]) => ({
    loss: steps.reduce((sum, { loss }) => sum + loss / steps.length, 0),
    correct: steps.reduce((sum, { correct }) => sum + correct, 0),
    images: steps.length * batchSize,
  })
  switch (work.kind) {
    case 'trainWeights':
      return { kind: 'trainWeights', ...sumUp(outcomes) }
    case 'gateGradients': {
      const steps = outcomes.map(({ loss, correct, gateGradients = [] }) => {
        return { crossEntropy: loss, correct, images: batchSize, gateGradients }
      })
      return { kind: 'gateGradients', steps }
    }
    case 'evaluatePaths': {
      const paths = work.paths.map((_, path) => {
        const { loss, ...counts } = sumUp(outcomes.slice(path * batchesPerPath, (path + 1) * batchesPerPath))
        return { crossEntropy: loss, ...counts }
      })
      return { kind: 'evaluatePaths', paths }
    }
    default:
      return work satisfies never
  }
}

export { choicesOf, placeInLane, planWaves, resultOf, type StepOutcome, type Turn, turnsOf, type Wave }
