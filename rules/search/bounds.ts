// Bounds on what one result may do to alpha: gradients far larger than usual are clipped before the strategy sees them. One of 1e6 would stand
// in the second moment of Adam, and hold alpha where it is, for the rest of a search.

import type { TaskResult } from '../../protocol/index.ts'
import { largestUsual, type RecentSizes, rootMeanSquare, withSize } from '../usual-size.ts'

/** Root mean square of the gradients of one step, before any have come: of cross-entropies of a few nats. */
const GRADIENT_SIZES = { expected: 0.2, least: 1e-6 }

/** Gradients of one step by block; null where a block has none. */
type BlockGradients = (number[] | null)[]

type Bounded = {
  readonly result: TaskResult
  /** Sizes of gradients that came last, those of this result included as they came. */
  readonly sizes: RecentSizes
  /** Steps that were clipped. */
  readonly clipped: number
}

/** The result as it is to be absorbed. Only steps that are clipped are changed. */
function boundResult(result: TaskResult, known: RecentSizes): Bounded {
  const most = largestUsual(known, GRADIENT_SIZES)
  let sizes = known
  let clipped = 0
  /** Null where the gradients are as usual. */
  const bounded = <T extends BlockGradients>(blocks: T): T | null => {
    const size = rootMeanSquare(blocks.flatMap((gradients) => gradients ?? []))
    if (size > 0) sizes = withSize(sizes, size)
    if (size <= most) return null
    clipped += 1
    return blocks.map((gradients) => gradients && gradients.map((value) => (most / size) * value)) as T
  }
  if (result.kind === 'gateGradients') {
    const steps = result.steps.map((step) => ({ ...step, gateGradients: bounded(step.gateGradients) ?? step.gateGradients }))
    return { result: { ...result, steps }, sizes, clipped }
  }
  if (result.kind === 'mixtureGradients') {
    const steps = result.steps.map((step) => ({ ...step, gradients: bounded(step.gradients) ?? step.gradients }))
    return { result: { ...result, steps }, sizes, clipped }
  }
  return { result, sizes, clipped }
}

export { boundResult }
